"""Workloads: requests as public traces list them."""
