"""Learning canopy height from imagery with lidar: examples, losses, training, evaluation."""
