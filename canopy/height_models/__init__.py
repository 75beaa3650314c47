"""Models of canopy height: an encoder, a decoder and a head, their card, and how they run."""
