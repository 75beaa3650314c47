"""Airborne lidar: from points on disk to canopy height on a grid, in bounded memory."""
