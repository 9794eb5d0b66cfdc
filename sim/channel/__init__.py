"""A whole memory channel under the compiled engine, and streams to drive it with."""
