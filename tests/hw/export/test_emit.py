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
