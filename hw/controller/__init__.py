"""The controller of a memory channel: what is the next command, and why."""
