"""A whole configuration, and what of it each part of the machine may read.

A memory die is made from a :class:`DieConfig`, a channel's controller from a
:class:`ChannelConfig`, the NPU tile from a :class:`TileConfig`: none of them sees a field that is
not its own. All of them offer the same names (``config.memory``, ``config.pim`` …), so a whole
:class:`Config` does wherever a part is asked for.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from hw.config.controller import ControllerConfig
from hw.config.link import LinkConfig
from hw.config.memory import MemoryConfig
from hw.config.npu import NpuConfig
from hw.config.pim import PimConfig

__all__ = ["PARTS", "ChannelConfig", "Config", "DieConfig", "TileConfig", "part_of"]

#: The parts of a configuration, by the names that configuration files give them.
PARTS: dict[str, type] = {
    "memory": MemoryConfig,
    "pim": PimConfig,
    "controller": ControllerConfig,
    "npu": NpuConfig,
    "link": LinkConfig,
}


def part_of(name: str) -> str | None:
    """Return the part that a field belongs to; no name stands in two.

    >>> part_of("lanes")
    'npu'
    """
    found = [part for part, kind in PARTS.items() if name in {f.name for f in fields(kind)}]
    return found[0] if found else None


@dataclass(frozen=True, kw_only=True)
class DieConfig:
    """What a memory die is made from: memory, and PIM."""

    memory: MemoryConfig
    pim: PimConfig

    @property
    def mac_lanes(self) -> int:
        """Multipliers of a bank: bfloat16 elements of a column."""
        return self.memory.column_bytes // 2

    @property
    def vector_columns(self) -> int:
        """Columns of one half of the global vector buffer."""
        return self.pim.vector_buffer_rows * self.memory.columns

    @property
    def result_bytes(self) -> int:
        """Bytes of a slot's result: one binary32 a bank."""
        return 4 * self.memory.banks

    @property
    def result_bursts(self) -> int:
        """Bursts that carry a slot's result to the tile."""
        return -(-self.result_bytes // self.memory.burst_bytes)


@dataclass(frozen=True, kw_only=True)
class ChannelConfig(DieConfig):
    """What a channel is made from: its die, and its controller."""

    controller: ControllerConfig = field(default_factory=ControllerConfig)

    @property
    def die(self) -> DieConfig:
        """What the die may read."""
        return DieConfig(memory=self.memory, pim=self.pim)


@dataclass(frozen=True, kw_only=True)
class TileConfig(DieConfig):
    """What the NPU tile is made from: the memory that it commands, and itself."""

    npu: NpuConfig


@dataclass(frozen=True, kw_only=True)
class Config(ChannelConfig, TileConfig):
    """Every size of a device. No module reads anything else.

    Attributes
    ----------
    name
        What reports call it.
    memory, pim, controller, npu, link
        Its parts.
    """

    name: str
    link: LinkConfig = field(default_factory=LinkConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"name must be a line of text, not {self.name!r}")

    @property
    def channel(self) -> ChannelConfig:
        """What a channel may read."""
        return ChannelConfig(memory=self.memory, pim=self.pim, controller=self.controller)

    @property
    def tile(self) -> TileConfig:
        """What the NPU tile may read."""
        return TileConfig(memory=self.memory, pim=self.pim, npu=self.npu)

    def replace(self, **changes: Any) -> Self:
        """Return a configuration that differs in some fields, named without their parts.

        >>> from hw.presets import TINY
        >>> newton = TINY.replace(name="newton", row_buffers=1, read_queue=8)
        >>> newton.pim.row_buffers, newton.controller.read_queue
        (1, 8)

        Raises
        ------
        ValueError
            If a value is impossible.
        TypeError
            If there is no such field.
        """
        own = {name: changes.pop(name) for name in ("name", *PARTS) if name in changes}
        by_part: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            part = part_of(name)
            if part is None:
                raise TypeError(f"{name} must be a field of a configuration's parts")
            by_part.setdefault(part, {})[name] = value
        for part, values in by_part.items():
            own[part] = replace(own.get(part, getattr(self, part)), **values)
        return replace(self, **own)
