"""Imagery in STAC catalogs: asked for, judged, and trusted no further than their server."""
