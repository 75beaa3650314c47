"""Forests whose truth is known exactly: imagery, heights, laser points and footprints."""
