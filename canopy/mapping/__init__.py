"""Maps of canopy height: planned, read in strips, predicted in tiles, sewn, and written."""
