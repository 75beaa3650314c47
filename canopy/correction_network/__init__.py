"""A network that sees how tall canopy should be, coarsely, and so corrects a map where no lidar is.

`network`, `metadata` and `model` are the network as a file; `samples`, `task` and `train` teach it
footprints of space lidar; `coarse_field` turns what it sees over a map into the factor field that
:mod:`canopy.correction` applies; `correct`, `map_correction` are who ask for that.
"""
