"""A memory channel: a controller and, behind the DRAM pins, the PIM channel that it commands."""

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.config import ChannelConfig
from hw.controller.controller import Controller
from hw.die.pim_channel import PimChannel

__all__ = ["MemoryChannel"]

#: Members of the controller that belong to the data pins; ``command`` is seen from outside, too.
_PINS = ("o_data", "i_data", "i_valid")


class MemoryChannel(wiring.Component):
    """One channel, whole: what a device has once for each of its channels.

    Its members are those of :class:`hw.controller.controller.Controller` without the data bus, with
    the same latencies and the same backpressure; ``command`` shows the C/A bus, and ``drives`` says
    whether the die drives the data bus.

    Parameters
    ----------
    config
        Sizes and timing.
    tag_bits
        Bits of a request's tag.

    Attributes
    ----------
    banks
        The banks, for a testbench to reach their cells.
    """

    def __init__(self, config: ChannelConfig, tag_bits: int):
        self._controller = Controller(config, tag_bits)
        self._die = PimChannel(config.die)
        self.banks = self._die.banks
        members = self._controller.signature.members
        outer = {name: members[name] for name in members if name not in _PINS}
        super().__init__({**outer, "drives": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = self._controller
        m.submodules.die = die = self._die
        for name, member in controller.signature.members.items():
            if name in _PINS:
                continue
            outer, inner = getattr(self, name), getattr(controller, name)
            if member.is_signature:
                wiring.connect(m, wiring.flipped(outer), inner)
            else:
                m.d.comb += outer.eq(inner)
        m.d.comb += [
            die.command.eq(controller.command),
            die.i_data.eq(controller.o_data),
            controller.i_data.eq(die.o_data),
            controller.i_valid.eq(die.o_valid),
            self.drives.eq(die.o_valid),
        ]
        return m
