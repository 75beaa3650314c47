"""Weights as others released them: what a file is, and how it becomes a height network."""
