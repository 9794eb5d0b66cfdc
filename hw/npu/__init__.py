"""The NPU tile: systolic array, vector unit, memories, DMA and sequencer."""
