"""The DRAM die: banks with their row buffers and MAC units, and what connects them."""
