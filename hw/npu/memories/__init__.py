"""Memories of the tile: activations, lane buffers, weight ring, row lists."""
