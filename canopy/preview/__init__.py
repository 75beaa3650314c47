"""A picture of a height map for people: `write_preview(path, Picture(...))`."""

from canopy.preview.drawing import Picture, write_preview

__all__ = ["Picture", "write_preview"]
