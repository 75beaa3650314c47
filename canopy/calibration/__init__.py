"""Intervals that hold: lidar set aside tells how far heights err, and whether that is true."""
