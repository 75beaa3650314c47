"""Imagery with its lidar, cut into chips that a training run streams from disk."""
