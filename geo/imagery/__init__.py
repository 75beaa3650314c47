"""Many images of one region: found in catalogs, ranked by cell, and shown as one mosaic."""
