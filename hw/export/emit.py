"""Verilog of the tops: every distinct module once, DRAM cells as black boxes."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amaranth._toolchain.yosys import find_yosys  # as the back ends of amaranth do

from hw.config import Config
from hw.device import check_buildable
from hw.export.rtlil import Port, convert, port_table
from hw.export.tops import TOPS

__all__ = ["export", "verilog"]

_MODULE = re.compile(r"((?:^attribute [^\n]*\n)*)^module (\S+)\n(.*?)^end\n", re.M | re.S)
_PORT = re.compile(r"^  wire [^\n]*(?:input|output) \d+ \S+\n", re.M)
_CELLS = re.compile(r"^  cell (\\\S+) \\cells\n", re.M)


def _black_boxes(rtlil: str) -> str:
    """Keep only the ports of the modules that hold DRAM cells.

    They are the ones instantiated as ``cells`` (:class:`hw.die.cell_array.CellArray`).
    """
    boxes = set(_CELLS.findall(rtlil))

    def empty(match: re.Match[str]) -> str:
        if match[2] not in boxes:
            return match[0]
        ports = "".join(_PORT.findall(match[3]))
        return f"attribute \\blackbox 1\nmodule {match[2]}\n{ports}end\n"

    return _MODULE.sub(empty, rtlil)


def _plain_names(rtlil: str) -> str:
    """Give modules names that need no escape in Verilog: dots and dollars become underscores."""
    names = [match[2] for match in _MODULE.finditer(rtlil)]
    plain: dict[str, str] = {}
    for name in names:
        word = re.sub(r"\W+", "__", name[1:])
        while f"\\{word}" in plain.values():
            word += "_"
        plain[name] = f"\\{word}"
    rtlil = re.sub(r"^module (\S+)$", lambda m: f"module {plain[m[1]]}", rtlil, flags=re.M)
    return re.sub(
        r"^  cell (\\\S+) ", lambda m: f"  cell {plain.get(m[1], m[1])} ", rtlil, flags=re.M
    )


def verilog(config: Config, top: str) -> tuple[str, list[Port]]:
    """Return the Verilog of a top and of everything in it, and the top's ports.

    The top's module bears its name.

    Raises
    ------
    ValueError
        If there is no such top, or the configuration cannot be built.
    """
    if top not in TOPS:
        raise ValueError(f"top must be one of {', '.join(TOPS)}, not {top!r}")
    component = TOPS[top](config)
    rtlil = _plain_names(_black_boxes(convert(component, top)))
    yosys = find_yosys(lambda version: version >= (0, 40))
    script = (
        f"read_rtlil <<rtlil\n{rtlil}\nrtlil\nproc -nomux -norom\nmemory_collect\n"
        "attrmap -remove generator -remove top -remove keep_hierarchy\n"
        "attrmap -modattr -remove generator -remove top\n"
        "write_verilog -norename\nwrite_verilog -norename -blackboxes\n"
    )
    text: str = yosys.run(["-q", "-"], script, ignore_warnings=True)
    return text, port_table(component)


def export(config: Config, tops: Sequence[str], folder: Path) -> list[Path]:
    """Write ``TOP.v`` for each top, and ``manifest.json``; return their paths.

    The same sources and configuration give the same bytes. A file is written under another name
    first, so none is ever half-written, and a configuration that cannot be a tile or a device is
    refused before any file is written, if one is wanted.

    Raises
    ------
    ValueError
        If there is no such top, or the configuration cannot be built.
    """
    if {"npu_tile", "device"} & set(tops):
        check_buildable(config)
    written = []
    manifest = []
    for top in tops:
        text, ports = verilog(config, top)
        written.append(_write(folder / f"{top}.v", text))
        manifest.append(
            {
                "top": top,
                "file": f"{top}.v",
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "modules": len(re.findall(r"^module ", text, re.M)),
                "ports": {
                    port.name: {"width": port.width, "output": port.output} for port in ports
                },
            }
        )
    content = {"configuration": config.name, "tops": manifest}
    written.append(_write(folder / "manifest.json", json.dumps(content, indent=1) + "\n"))
    return written


def _write(path: Path, text: str) -> Path:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
