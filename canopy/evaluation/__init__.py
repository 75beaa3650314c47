"""A height map against lidar rasters, measured points or GEDI footprints; no model is needed."""
