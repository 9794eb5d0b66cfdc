"""The configuration: one frozen object that fixes every size of the machine, in parts."""

from hw.config.config import PARTS, ChannelConfig, Config, DieConfig, TileConfig, part_of
from hw.config.controller import ControllerConfig
from hw.config.link import LinkConfig
from hw.config.memory import ROW_ORDER, MemoryConfig
from hw.config.npu import NpuConfig
from hw.config.pim import PimConfig

__all__ = [
    "PARTS",
    "ROW_ORDER",
    "ChannelConfig",
    "Config",
    "ControllerConfig",
    "DieConfig",
    "LinkConfig",
    "MemoryConfig",
    "NpuConfig",
    "PimConfig",
    "TileConfig",
    "part_of",
]
