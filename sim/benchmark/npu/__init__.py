"""Figures of the NPU tile."""
