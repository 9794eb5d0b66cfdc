"""Checks of programs by the host: footprints, hazards, legality."""
