"""Where the products of a region are put: folders and buckets, and who may write there."""
