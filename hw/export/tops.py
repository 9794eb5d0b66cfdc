"""The components that are worth a netlist of their own, by name."""

from collections.abc import Callable

from amaranth.lib import wiring

from hw.config import Config
from hw.controller.controller import Controller
from hw.controller.pim.result_windows import check_result_latency
from hw.controller.refresh import longest_tile
from hw.device import Device
from hw.die.bank import BankPeripheral
from hw.die.column_path import check_timing
from hw.die.mac_unit import MacUnit
from hw.die.pim_channel import PimChannel
from hw.npu.dma.engine import tag_layout
from hw.npu.matrix.processing_element import ProcessingElement
from hw.npu.matrix.systolic_array import SystolicArray
from hw.npu.tile import Tile
from hw.npu.vector.unit import VectorUnit

__all__ = ["TOPS"]


def _controller(config: Config) -> Controller:
    """Return a controller; what its parts and the die behind it demand is checked first."""
    for check in (longest_tile, check_timing, check_result_latency):
        check(config)
    return Controller(config, tag_layout(config).size)


#: What can be exported, and how each is made from a configuration.
TOPS: dict[str, Callable[[Config], wiring.Component]] = {
    "mac_unit": MacUnit,
    "bank_peripheral": BankPeripheral,
    "pim_channel": PimChannel,
    "channel_controller": _controller,
    "processing_element": lambda _config: ProcessingElement(),
    "systolic_array": lambda config: SystolicArray(config.npu.array_rows, config.npu.array_columns),
    "vector_unit": VectorUnit,
    "npu_tile": Tile,
    "device": Device,
}
