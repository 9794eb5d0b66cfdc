"""Attention: where keys and values lie, and the instructions that use them."""
