"""The rules of a memory channel as properties."""
