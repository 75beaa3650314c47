"""Heights of labelled arrays: xarray and Dask in, xarray and Dask out."""
