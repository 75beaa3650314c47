"""Regions: an area and imagery in; a COG with its STAC item for each cell of ground out."""
