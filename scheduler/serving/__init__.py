"""Requests, KV pages, channels, sub-batches and the iteration loop."""
