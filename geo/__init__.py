"""The Earth, without tensors: scenes, grids, tiles, and files that any GIS opens."""
