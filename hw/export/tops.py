"""The components that are worth a netlist of their own, by name."""

from collections.abc import Callable

from amaranth.lib import wiring

from hw.config import Config
from hw.device import Device
from hw.memory.bank import BankPeripheral
from hw.memory.controller import Controller
from hw.npu.dma_engine import tag_layout
from hw.npu.processing_element import ProcessingElement
from hw.npu.systolic_array import SystolicArray
from hw.npu.tile import Tile
from hw.npu.vector.unit import VectorUnit
from hw.pim.channel import PimChannel
from hw.pim.mac_unit import MacUnit

__all__ = ["TOPS"]

#: What can be exported, and how each is made from a configuration.
TOPS: dict[str, Callable[[Config], wiring.Component]] = {
    "mac_unit": MacUnit,
    "bank_peripheral": BankPeripheral,
    "pim_channel": PimChannel,
    "channel_controller": lambda config: Controller(config, tag_layout(config).size),
    "processing_element": lambda _config: ProcessingElement(),
    "systolic_array": lambda config: SystolicArray(config.array_rows, config.array_columns),
    "vector_unit": VectorUnit,
    "npu_tile": Tile,
    "device": Device,
}
