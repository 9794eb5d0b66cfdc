"""Who may import whom, and who may read what of the configuration."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Rooms of hw/ from the ground up: a module imports from its own room and from those before it.
ROOMS = (
    *({"repeated", "delay_line"}, {"config", "presets"}, {"arith"}, {"protocol", "program"}),
    *({"die"}, {"controller"}, {"memory_channel", "interconnect"}, {"npu"}, {"counters"}),
    *({"device"}, {"export"}, {"formal"}),
)

#: What a room may not read of the configuration.
FOREIGN = {
    "die": ("controller", "npu", "link"),
    "protocol": ("controller", "npu", "link"),
    "controller": ("npu", "link"),
    "npu": ("controller", "link"),
    "program": ("controller", "link"),
}


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path):
    """Yield the modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_floors():
    above = {"hw": ("sim", "scheduler"), "sim": ("scheduler",), "scheduler": ()}
    for floor, forbidden in above.items():
        for path in modules(floor):
            for name in imported(path):
                assert name.split(".")[0] not in forbidden, f"{path.relative_to(ROOT)}: {name}"


def test_rooms_of_hw():
    rank = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
    upward = []
    for path in modules("hw"):
        room = path.relative_to(ROOT / "hw").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imported(path):
            if name.startswith("hw."):
                other = name.split(".")[1]
                if rank[other] > rank[room] or (rank[other] == rank[room] and other != room):
                    upward.append((f"{room} -> {other}", name))
    # The configuration holds the timing parameters, and presets are configurations.
    assert {arrow for arrow, _name in upward} == {
        "config -> protocol",
        "presets -> config",
        "presets -> protocol",
    }, upward


def test_folders_hold_a_dozen_modules():
    for floor in ("hw", "sim", "scheduler"):
        for folder in {path.parent for path in modules(floor)}:
            count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
            assert count <= 12, f"{folder.relative_to(ROOT)} holds {count} modules"


@pytest.mark.parametrize("room", FOREIGN)
def test_room_reads_only_its_parts_of_the_configuration(room):
    for path in modules(f"hw/{room}"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in FOREIGN[room]:
                owner = ast.unparse(node.value)
                assert not owner.endswith("config"), f"{path.relative_to(ROOT)}:{node.lineno}"
