"""DMA: the lanes that move bursts between the channels and the memories of the tile."""
