"""A timeline as a Chrome trace, which https://ui.perfetto.dev opens.

A cycle is a nanosecond. Each memory channel is a process of the trace and the tile another; rows of
the timeline are their threads. Sub-batches are categories.
"""

import json
from pathlib import Path
from typing import Any

from hw.program.instruction_set import Opcode, Queue
from hw.program.program import queue_name
from sim.timeline import Timeline

__all__ = ["trace_events", "write_trace"]

_TILE = 1


def trace_events(timeline: Timeline) -> list[dict[str, Any]]:
    """Return the trace's events: names of processes and threads first, then one event a span.

    Times are in microseconds, as the format demands.
    """
    events: list[dict[str, Any]] = []
    processes: dict[int, int] = {}
    for row in range(len(timeline.rows)):
        first = timeline.spans[timeline.spans["row"] == row][0]
        channel = int(first["queue"]) - Queue.PIM
        process = _TILE if channel < 0 else _TILE + 1 + channel
        processes[row] = process
        if row == 0 or processes[row - 1] != process:
            name = "NPU tile" if channel < 0 else f"channel {channel}"
            events += [
                _metadata("process_name", process, 0, name=name),
                _metadata("process_sort_index", process, 0, sort_index=process),
            ]
        events += [
            _metadata("thread_name", process, row + 1, name=timeline.rows[row]),
            _metadata("thread_sort_index", process, row + 1, sort_index=row),
        ]
    for span in timeline.spans:
        row, label = int(span["row"]), timeline.labels[int(span["label"])]
        start, shown, end = int(span["start"]), int(span["shown_from"]), int(span["end"])
        arguments: dict[str, Any] = {
            "instruction": f"{queue_name(int(span['queue']))}[{int(span['index'])}]",
            "operation": Opcode(int(span["opcode"])).name,
            "sub_batch": label.sub_batch,
            "start_cycle": start,
            "retire_cycle": end,
        }
        if label.layer >= 0:
            arguments["layer"] = label.layer
        if label.request >= 0:
            arguments["request"] = label.request
        events.append(
            {
                "name": label.name or arguments["operation"],
                "cat": f"sub-batch {label.sub_batch}",
                "ph": "X",
                "pid": processes[row],
                "tid": row + 1,
                "ts": shown / 1000,
                "dur": (end - shown) / 1000,
                "args": arguments,
            }
        )
    return events


def write_trace(timeline: Timeline, path: Path) -> None:
    """Write the trace as JSON."""
    trace = {"displayTimeUnit": "ns", "traceEvents": trace_events(timeline)}
    path.write_text(json.dumps(trace, separators=(",", ":")), encoding="utf-8")


def _metadata(kind: str, process: int, thread: int, **arguments: str | int) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": arguments}
