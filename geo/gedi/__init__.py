"""Footprints of GEDI, the laser on the International Space Station: granules in, one table out."""
