"""Height maps as files that any GIS opens: encoded, written, finished, described, coloured."""
