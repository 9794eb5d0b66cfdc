"""Processing in memory: MAC units, vector buffer, command sequencing, the DRAM die."""
