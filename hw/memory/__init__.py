"""The memory channel: DRAM cells, banks, timing, commands and the controller."""
