"""Exported Verilog: complete, with black boxes for DRAM cells, the same bytes every time."""

import json
import re

import pytest

from hw.export.emit import export, verilog
from hw.presets import TINY

SMALL = ["mac_unit", "processing_element", "pim_channel"]


def test_export_writes_a_file_a_top_and_a_manifest(tmp_path):
    written = export(TINY, SMALL, tmp_path)
    assert [path.name for path in written] == [*(f"{top}.v" for top in SMALL), "manifest.json"]
    manifest = json.loads(written[-1].read_text())
    assert [entry["top"] for entry in manifest["tops"]] == SMALL
    for entry in manifest["tops"]:
        text = (tmp_path / entry["file"]).read_text()
        header = re.search(rf"^module {entry['top']}\((.*?)\);", text, re.M | re.S)[1]
        names = {name.strip() for name in header.split(",")}
        assert set(entry["ports"]) <= names
        assert entry["modules"] == len(re.findall(r"^module ", text, re.M))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in written)


def test_export_repeats_byte_for_byte():
    assert verilog(TINY, "mac_unit")[0] == verilog(TINY, "mac_unit")[0]


def test_cells_are_a_black_box_and_equal_modules_stand_once():
    text, _ports = verilog(TINY, "pim_channel")
    boxes = re.findall(
        r"\(\* blackbox =  1  \*\)\nmodule (\w+)\((.*?)\);(.*?)endmodule", text, re.S
    )
    assert len(boxes) == 1
    name, _header, body = boxes[0]
    assert "reg" not in re.sub(r"\w*reg\w+", "", body)
    assert len(re.findall(rf"^  {name} cells \(", text, re.M)) == 1  # in the one bank module
    banks = re.findall(r"^  (\w+) bank_\d \(", text, re.M)
    assert len(banks) == TINY.memory.banks
    assert len(set(banks)) == 1


def test_unknown_top_is_named():
    with pytest.raises(ValueError, match=r"^top must be one of mac_unit, .*, not 'gpu'$"):
        verilog(TINY, "gpu")


@pytest.mark.parametrize("top", ["npu_tile", "device"])
def test_device_that_cannot_be_built_leaves_no_file(tmp_path, top):
    three = TINY.replace(ranks=3)
    with pytest.raises(ValueError, match=r"^ranks must be a power of two where there is an NPU"):
        export(three, ["mac_unit", top], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_controller_of_three_ranks_can_be_exported():
    widths = []
    for ranks in (1, 3):
        text, ports = verilog(TINY.replace(ranks=ranks), "channel_controller")
        assert "module channel_controller" in text
        widths += [port.width for port in ports if port.name == "command"]
    assert widths[1] - widths[0] == 2  # banks 0 to 11 instead of 0 to 3
