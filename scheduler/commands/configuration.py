"""Configurations by name, or from a user's TOML file."""

import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pydantic

from hw.config import PARTS, Config, part_of
from hw.presets import PRESETS
from hw.protocol.timing import Timing, in_cycles
from scheduler.commands.errors import UsageError
from scheduler.commands.files import read_bytes

__all__ = ["load_config"]

#: What the checker says of a value of the wrong kind, in our words.
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
}


def load_config(text: str) -> Config:
    """Return a preset by its name, or the configuration in a TOML file.

    A file names the preset that it starts from (``preset = "tiny"``) and what differs, in a table
    for each part of :class:`hw.config.Config`, or outside of all, since no two parts share a name.
    ``[memory.timing]``, or ``[timing]``, has the names of :class:`hw.protocol.timing.Timing`, in
    cycles, or in nanoseconds with t in place of n. Its ``name`` is that of the file, if it gives
    none. What holds in place of a value that was given is said on standard error.

    Raises
    ------
    UsageError
        If there is no such preset or file, or it cannot be built; it names every field that is
        unknown or of the wrong kind, and says where a field belongs that stands elsewhere.
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
    if not isinstance(preset, str) or preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r} (in {text})")
    try:
        table = _into_tables(table)
        _check_places(table)
        config = _change(PRESETS[preset], {"name": Path(text).stem, **table})
    except ValueError as error:
        raise UsageError(f"{error} (in {text})") from None
    for remark in config.memory.timing.remarks():
        print(f"neupims: {remark} (in {text})", file=sys.stderr)
    return config


def _into_tables(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table with fields that stand outside of all in that of their part.

    Raises
    ------
    ValueError
        If a field stands in both places.
    """
    found = {name: value for name, value in table.items() if part_of(name) is None}
    for name, value in table.items():
        part = part_of(name)
        if part is None:
            continue
        inner = found.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{part} must be a table, not {inner!r}")
        if name in inner:
            raise ValueError(f"{name} must stand once, not in the table [{part}], too")
        found[part] = {**inner, name: value}
    return found


def _check_places(table: Mapping[str, Any]) -> None:
    """Check that every field stands in the table of its part.

    Raises
    ------
    ValueError
        Saying of each one that does not where it belongs.
    """
    timing = {item.name for item in fields(Timing)}
    timing |= {"t" + name[1:] for name in timing} | {"tCK"}
    known = {part: {item.name for item in fields(kind)} for part, kind in PARTS.items()}
    wrong = []
    for name, value in table.items():
        if name == "name":
            continue
        if name not in PARTS:
            wrong.append(_place(name, timing))
        elif not isinstance(value, dict):
            wrong.append(f"{name} must be a table, not {value!r}")
        else:
            for field, inner in value.items():
                if field not in known[name]:
                    wrong.append(_place(field, timing, name))
                elif field == "timing" and not isinstance(inner, dict):
                    wrong.append(f"memory.timing must be a table, not {inner!r}")
                elif field == "timing":
                    wrong += [
                        _place(symbol, timing, "memory.timing")
                        for symbol in inner
                        if symbol.replace("_", "") not in timing
                    ]
    if wrong:
        raise ValueError("; ".join(wrong))


def _place(name: str, timing: set[str], table: str = "") -> str:
    """Say where a field belongs that stands in a table, or outside of all."""
    given = f"{table}.{name}" if table else name
    if name.replace("_", "") in timing or name == "timing":
        return f"{given} must stand in the table [memory.timing]"
    if part := part_of(name):
        return f"{given} must stand in the table [{part}]"
    kinds = {**PARTS, "memory.timing": Timing}
    known = [item.name for item in fields(kinds[table])] if table else ["name", *PARTS]
    return f"{given} must be one of {', '.join(known)}"


def _change(base: Config, table: Mapping[str, Any]) -> Config:
    """Return the configuration with the values of a table, whose places are right.

    Raises
    ------
    ValueError
        If a value is of the wrong kind, or impossible.
    """
    wanted = asdict(base)
    for part, values in table.items():
        if isinstance(values, dict):
            timing = {**wanted["memory"]["timing"], **in_cycles(values.get("timing", {}))}
            wanted[part] = {**wanted[part], **values}
            if part == "memory":
                wanted[part]["timing"] = timing
        else:
            wanted[part] = values
    try:
        strict = pydantic.TypeAdapter(Config)
        # As JSON, so that a list does for a tuple while 7.0 or "7" do not for a whole number.
        return strict.validate_json(json.dumps(wanted, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise ValueError("; ".join(_in_our_words(entry) for entry in error.errors())) from None


def _in_our_words(error: Any) -> str:
    """Return what the checker says of one value."""
    name = ".".join(str(step) for step in error["loc"])
    if "error" in error.get("ctx", {}):  # what the configuration itself says
        return str(error["ctx"]["error"])
    kind = _KINDS.get(error["type"], error["msg"])
    return f"{name} must be {kind}, not {error['input']!r}"
