"""Random traffic on memory channels, checked by the monitor and against golden models."""
