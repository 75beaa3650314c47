"""What joins the cells of a region: collection, table of items, mosaics, report and its map."""
