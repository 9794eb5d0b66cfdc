"""Configurations by name, or from a user's TOML file."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from hw.config import Config
from hw.memory.timing import Timing
from hw.presets import PRESETS
from scheduler.commands.errors import UsageError
from scheduler.commands.files import read_bytes

__all__ = ["load_config"]

T = TypeVar("T", Config, Timing)


def load_config(text: str) -> Config:
    """Return a preset by its name, or the configuration in a TOML file.

    A file names the preset that it starts from (``preset = "tiny"``) and what differs, with the
    names of :class:`hw.config.Config`; a table ``[timing]`` those of
    :class:`hw.memory.timing.Timing`.

    Raises
    ------
    UsageError
        If there is no such preset or file, or it cannot be built.
    """
    if text in PRESETS:
        return PRESETS[text]
    if not text.endswith(".toml"):
        names = ", ".join(PRESETS)
        raise UsageError(f"--config must be {names} or a .toml file, not {text!r}")
    content = read_bytes(Path(text), "--config")
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{text} must be TOML in UTF-8: {error}") from None
    preset = table.pop("preset", None)
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r} (in {text})")
    timing = table.pop("timing", {})
    if not isinstance(timing, dict):
        raise UsageError(f"timing must be a table, not {timing!r} (in {text})")
    base = PRESETS[preset]
    try:
        table.setdefault("name", Path(text).stem)
        changed = _replace(base, table)
        return replace(changed, timing=_replace(base.timing, timing))
    except ValueError as error:
        raise UsageError(f"{error} (in {text})") from None


def _replace(base: T, changes: dict[str, Any]) -> T:
    """Change fields by name; ValueError names the one that does not exist."""
    known = {item.name for item in fields(base)}
    for name in changes:
        if name not in known:
            raise ValueError(f"{name} must be one of {', '.join(sorted(known))}")
    return replace(base, **changes)
