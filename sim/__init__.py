"""Running things: engines, devices, traces, monitors, counters and pictures."""
