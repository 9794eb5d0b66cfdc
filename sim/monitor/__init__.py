"""The protocol monitor: command traces against the rules of a channel, by absolute times."""
