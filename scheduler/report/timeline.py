"""The timeline as a picture: units as rows, the two sub-batches in two colours."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from hw.program.instruction_set import Queue
from hw.program.program import Label
from sim.timeline import Timeline

__all__ = ["draw_timeline", "save_figure"]

#: Colours of the sub-batches, and of their odd layers (chosen; the colour-blind tell them apart).
_COLORS = (("#56a5dc", "#a9d2ef"), ("#e69f00", "#f6cf80"))

_INCHES_PER_ROW = 0.30
_FONT_POINTS = 7
#: Width of a letter, in ems, at most (estimated; names that would not fit are left out).
_LETTER_EMS = 0.62
#: Gaps that are not seen, and bars that are wide enough for an edge, in points.
_UNSEEN_POINTS = 0.2
_EDGED_POINTS = 3.0
#: Bars that fill less of their run than this bear no name; up to the other, one on a white plate.
_SPARSE, _DENSE = 0.3, 0.9
_PLATE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}


class _Piece(NamedTuple):
    """A bar: row, name, layer and sub-batch, and from where to where it goes."""

    key: tuple[int, str, int, int]
    left: int
    right: int


def draw_timeline(
    timeline: Timeline,
    *,
    title: str = "",
    window: tuple[int, int] | None = None,
    channels: Sequence[int] | None = None,
    width_inches: float = 14.0,
) -> Figure:
    """Draw a timeline.

    Parameters
    ----------
    timeline
        What to draw.
    title
        A line above the picture.
    window
        First and last cycle to show; all unless given.
    channels
        Memory channels whose PIM rows are shown; the first four unless given. The title says how
        many are left out.
    width_inches
        Width of the picture; the height follows from the rows.
    """
    first, last = window or (0, max(timeline.end, 1))
    spans, names, hidden = _select(timeline, channels, first, last)
    height_inches = _INCHES_PER_ROW * max(len(names), 1) + 1.3
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(first, last)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if hidden:
        title += f" ({hidden} more PIM channels not shown)"
    labels = [timeline.labels[label] for label in np.unique(spans["label"])]
    _finish(figure, axes, names, labels, title.strip())
    figure.draw_without_rendering()  # fixes the size of the axes, in which names must fit
    points_per_cycle = axes.get_window_extent().width / figure.dpi * 72 / (last - first)
    pieces = _pieces(spans, timeline, _UNSEEN_POINTS / points_per_cycle)
    _draw_pieces(axes, pieces, points_per_cycle)
    _draw_names(axes, pieces, points_per_cycle)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture in the format of the path's suffix: SVG or PNG.

    The same picture gives the same SVG, byte for byte.
    """
    if path.suffix == ".svg":
        with mpl.rc_context({"svg.hashsalt": "timeline", "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None})
    else:
        figure.savefig(path, dpi=150)


def _select(
    timeline: Timeline, channels: Sequence[int] | None, first: int, last: int
) -> tuple[np.ndarray, list[str], int]:
    """Return the spans to show, their rows renumbered, the rows' names, and channels left out."""
    spans = timeline.spans
    channel = spans["queue"] - Queue.PIM
    wanted = range(4) if channels is None else channels
    hidden = set(channel[channel >= 0].tolist()) - set(wanted)
    spans = spans[(channel < 0) | np.isin(channel, list(wanted))]
    spans = spans[(spans["end"] > first) & (spans["shown_from"] < last)].copy()
    rows, spans["row"] = np.unique(spans["row"], return_inverse=True)
    return spans, [timeline.rows[row] for row in rows], len(hidden)


def _pieces(spans: np.ndarray, timeline: Timeline, gap_cycles: float) -> list[_Piece]:
    """Join neighbours of one name, layer and sub-batch whose gap is too short to be seen."""
    pieces: list[_Piece] = []
    for span in spans:
        row, label = int(span["row"]), timeline.labels[int(span["label"])]
        left, right = int(span["shown_from"]), int(span["end"])
        key = (row, label.name, label.layer, label.sub_batch)
        before = pieces[-1] if pieces else None
        if before and before.key == key and left - before.right <= gap_cycles:
            pieces[-1] = before._replace(right=max(right, before.right))
        else:
            pieces.append(_Piece(key, left, right))
    return pieces


def _draw_pieces(axes: Axes, pieces: list[_Piece], points_per_cycle: float) -> None:
    """Draw the bars, one collection a row and style; only wide ones have an edge."""
    styles: dict[tuple[int, int, bool, bool], list[tuple[float, float]]] = {}
    for piece in pieces:
        row, _name, layer, sub_batch = piece.key
        wide = (piece.right - piece.left) * points_per_cycle > _EDGED_POINTS
        style = (row, sub_batch, _paler(layer), wide)
        styles.setdefault(style, []).append((piece.left, piece.right - piece.left))
    for (row, sub_batch, paler, wide), bars in styles.items():
        axes.broken_barh(
            bars,
            (row - 0.4, 0.8),
            facecolor=_COLORS[sub_batch % len(_COLORS)][paler],
            edgecolor="white",
            linewidth=0.4 if wide else 0,
            snap=wide,  # bars narrower than a pixel give it a share of their colour
        )


def _draw_names(axes: Axes, pieces: list[_Piece], points_per_cycle: float) -> None:
    """Write the name of each run of bars into it, where it fits and the bars are dense."""
    first, last = axes.get_xlim()
    for (_row, name, _layer, _sub_batch), group in groupby(pieces, key=lambda piece: piece.key):
        run = list(group)
        left, right = max(run[0].left, first), min(run[-1].right, last)
        covered = sum(min(p.right, last) - max(p.left, first) for p in run) / max(right - left, 1)
        fits = len(name) * _LETTER_EMS * _FONT_POINTS <= (right - left) * points_per_cycle
        if not fits or covered < _SPARSE:
            continue
        axes.text(
            (left + right) / 2,
            run[0].key[0],
            name,
            fontsize=_FONT_POINTS,
            horizontalalignment="center",
            verticalalignment="center_baseline",
            clip_on=True,
            bbox=None if covered > _DENSE else _PLATE,
        )


def _paler(layer: int) -> bool:
    return layer > 0 and layer % 2 == 1


def _finish(figure: Figure, axes: Axes, names: list[str], labels: list[Label], title: str) -> None:
    """Set title, rows, axis and legend."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("cycle (1 ns)", fontsize=9)
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    styles = sorted({(label.sub_batch, _paler(label.layer)) for label in labels})
    patches = [
        Patch(
            color=_COLORS[sub_batch % len(_COLORS)][paler],
            label=f"sub-batch {sub_batch}" + (", odd layers" if paler else ""),
        )
        for sub_batch, paler in styles
    ]
    figure.legend(
        handles=patches,
        loc="outside upper right",
        ncols=max(len(patches), 1),
        frameon=False,
        fontsize=8,
    )
