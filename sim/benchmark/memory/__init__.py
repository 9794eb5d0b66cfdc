"""Figures of the memory side."""
