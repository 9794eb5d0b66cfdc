import numpy as np
import pytest
from amaranth.lib import data

from sim.engine.bit_fields import field_of, pack_fields

LAYOUT = data.StructLayout({"low": 5, "wide": 96, "middle": 40, "top": 1})


def test_fields_come_back_from_packed_words():
    rng = np.random.default_rng(1)
    values = np.zeros(50, [("low", "u1"), ("wide", "u1", (12,)), ("middle", "u8"), ("top", "u2")])
    values["low"] = rng.integers(0, 32, 50)
    values["wide"] = rng.integers(0, 256, (50, 12))
    values["middle"] = rng.integers(0, 1 << 40, 50)
    values["top"] = rng.integers(0, 2, 50)
    words = pack_fields(LAYOUT, values)
    for name, field in LAYOUT:
        width = {"low": 5, "wide": 96, "middle": 40, "top": 1}[name]
        found = field_of(words, field.offset, width)
        expected = values[name]
        if name == "wide":
            found = np.ascontiguousarray(found).view(np.uint8)
        assert np.array_equal(found, expected), name


def test_packed_words_are_those_of_amaranth():
    value = {"low": 19, "wide": 0x0102_0304_0506_0708_090A_0B0C, "middle": 1 << 39, "top": 1}
    values = np.zeros(1, [("low", "u8"), ("wide", "u1", (12,)), ("middle", "u8"), ("top", "u8")])
    for name, number in value.items():
        is_wide = name == "wide"
        values[name] = np.frombuffer(number.to_bytes(12, "little"), "u1") if is_wide else number
    packed = int.from_bytes(pack_fields(LAYOUT, values).tobytes(), "little")
    assert packed == LAYOUT.const(value).as_value().value


def test_too_large_value_is_an_error():
    with pytest.raises(ValueError, match=r"^low must be below 32, not 32$"):
        pack_fields(LAYOUT, np.array([(32,)], [("low", "u1")]))
