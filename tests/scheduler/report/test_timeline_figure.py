import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Label
from scheduler.report.timeline import draw_timeline, save_figure
from sim.timeline import SPAN, Timeline

LABELS = [Label("QKV", 0, 0), Label("logit", 0, 0, 0), Label("QKV", 1, 1), Label("logit", 1, 1, 1)]
UNITS = [("DMA weights", Queue.LOAD, Opcode.LOAD), ("Systolic array", Queue.MATRIX, Opcode.GEMM)]


def make(channels=2, count=12):
    units = UNITS + [(f"PIM {c} GEMV", Queue.PIM + c, Opcode.GEMV) for c in range(channels)]
    spans = []
    for row, (_, queue, opcode) in enumerate(units):
        for index in range(count):
            label = (queue >= Queue.PIM) + 2 * (index >= count // 2)
            start = 100 * index + 10 * row
            spans.append((row, queue, index, opcode, label, start, start, start + 90))
    return Timeline(rows=[u[0] for u in units], spans=np.array(spans, SPAN), labels=LABELS)


def texts(figure):
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts]


def test_every_row_has_its_name_and_both_sub_batches_are_in_the_legend():
    figure = draw_timeline(make(), title="tiny, interleaved")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["DMA weights", "Systolic array", "PIM 0 GEMV", "PIM 1 GEMV"]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["sub-batch 0", "sub-batch 1, odd layers"]


def test_bars_cover_the_cycles_of_their_spans():
    figure = draw_timeline(make(count=2))
    (axes,) = figure.axes
    boxes = [path.get_extents() for bars in axes.collections for path in bars.get_paths()]
    assert sorted({round(box.y0 + 0.4) for box in boxes}) == [0, 1, 2, 3]
    bottom = [(box.x0, box.x1) for box in boxes if round(box.y0 + 0.4) == 3]
    assert sorted(bottom) == [(30, 120), (130, 220)]


def test_names_are_written_where_they_fit_and_left_out_where_not():
    assert {"QKV", "logit"} <= set(texts(draw_timeline(make())))
    assert texts(draw_timeline(make(), window=(0, 100_000))) == []


@pytest.mark.parametrize("width_inches", [6.0, 14.0])
def test_nothing_is_clipped_and_no_name_leaves_its_run(width_inches):
    figure = draw_timeline(make(), title="tiny, interleaved", width_inches=width_inches)
    figure.draw_without_rendering()
    page = figure.bbox
    (axes,) = figure.axes
    outside = [axes.title, axes._left_title, axes.xaxis.label, *axes.get_yticklabels()]
    outside += [*axes.get_xticklabels()[:-1], *figure.legends[0].get_texts()]
    for text in outside:
        if text.get_text():
            box = text.get_window_extent()
            assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
            assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
    window = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert window.x0 <= box.x0 <= box.x1 <= window.x1, text


def test_a_window_leaves_out_what_lies_outside():
    figure = draw_timeline(make(), window=(0, 500))
    (axes,) = figure.axes
    assert axes.get_xlim() == (0, 500)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sub-batch 0"]


def test_channels_beyond_the_first_four_are_left_out_and_counted():
    figure = draw_timeline(make(channels=6), title="paper")
    (axes,) = figure.axes
    assert len(axes.get_yticklabels()) == 2 + 4
    assert axes.get_title(loc="left") == "paper (2 more PIM channels not shown)"


def test_chosen_channels_are_shown():
    figure = draw_timeline(make(channels=6), channels=[5])
    (axes,) = figure.axes
    assert axes.get_yticklabels()[-1].get_text() == "PIM 5 GEMV"


def test_an_empty_timeline_is_drawn():
    figure = draw_timeline(Timeline(rows=[], spans=np.zeros(0, SPAN), labels=LABELS))
    assert texts(figure) == []


def test_svg_and_png_are_written_and_the_svg_repeats(tmp_path):
    paths = [tmp_path / name for name in ("a.svg", "b.svg", "c.png")]
    for path in paths:
        save_figure(draw_timeline(make(), title="tiny"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert ElementTree.parse(paths[0]).getroot().tag.endswith("svg")
    assert paths[2].read_bytes().startswith(b"\x89PNG")
