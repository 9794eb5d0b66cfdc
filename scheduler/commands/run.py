"""``neupims run``: decode prompts on a device, in several variants, and compare them."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hw.config import Config
from hw.presets import PRESETS
from scheduler.commands.configuration import load_config
from scheduler.commands.errors import UsageError
from scheduler.commands.files import folder, output_folder, read_bytes, write_file
from scheduler.commands.models import ModelChoice, choose_model
from scheduler.commands.self_check import self_check
from scheduler.commands.variants import (
    DEFAULT_SCHEDULES,
    VARIANTS,
    Job,
    Outcome,
    check_fits,
    run_variants,
)
from scheduler.commands.variants import Progress as News
from scheduler.commands.variants import Variant as DeviceVariant
from scheduler.compiler.iteration_program import Schedule
from scheduler.models.weights import load_prompts
from scheduler.report.interleaving import compare_interleaving
from scheduler.report.tables import Variant, variant_rows, variants_table
from scheduler.workload.request_tables import looks_like_a_table, read_requests
from sim.device import DeviceError
from sim.devices.first_difference import MismatchError
from sim.engine.build_cache import cache_folder
from sim.engine.compiler import CompilerNotFoundError, find_compiler
from sim.perfetto import write_trace
from sim.timeline import make_timeline

__all__ = ["add_parser", "commands_file", "prompts_and_answers"]


_EPILOG = """\
examples:
  neupims run                                      the prompts that ship, three variants
  neupims run --model tiny-llama --variant heads   another model, one variant
  neupims run --prompts mine.txt --answer-tokens 8 --commands trace.csv --out mine
  neupims run --requests trace.csv --variant heads lengths of a public trace"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="decode prompts on a device, in several variants",
        description="Decode prompts on a device: naive NPU + PIM, two row buffers, and NeuPIMs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        default="tiny",
        help=f"a preset ({', '.join(PRESETS)}) or a .toml file (default: tiny)",
    )
    parser.add_argument(
        "--device", choices=["rtl"], default="rtl", help="what runs the programs (default: rtl)"
    )
    parser.add_argument(
        "--model",
        default="tiny-gpt",
        help="tiny-gpt, tiny-llama, or a config.json as Hugging Face writes it (llama or gpt2), "
        "which gets random weights (default: tiny-gpt)",
    )
    parser.add_argument("--prompts", type=Path, help="a text file, a prompt a line (default: ours)")
    parser.add_argument(
        "--requests",
        type=Path,
        metavar="FILE",
        help="a table of requests by lengths, CSV or JSON lines (Vidur, Azure, Mooncake, BurstGPT, "
        "LLMServingSim): prompts are random tokens, answers as long as it says",
    )
    parser.add_argument(
        "--answer-tokens",
        type=int,
        default=64,
        help="tokens of an answer, at most; a full stop ends it earlier (default: 64)",
    )
    parser.add_argument(
        "--variant",
        action="append",
        choices=[str(schedule) for schedule in Schedule],
        help=f"run only this variant; may be repeated (default: {', '.join(DEFAULT_SCHEDULES)})",
    )
    parser.add_argument(
        "--commands",
        type=Path,
        metavar="FILE.csv",
        help="write every DRAM command (neupims check-trace reads it); with several variants to "
        "FILE-VARIANT.csv, a file a variant",
    )
    parser.add_argument("--out", type=folder, default=Path("out"), help="folder (default: out)")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    config = load_config(options.config)
    model = choose_model(options.model)
    prompts, answers = prompts_and_answers(options, model)
    schedules = options.variant or DEFAULT_SCHEDULES
    chosen = [variant for variant in VARIANTS if variant.schedule in schedules]
    try:
        for variant in chosen:
            check_fits(variant, config, model.shape, prompts, answers)
    except ValueError as error:
        where = f"model {options.model}, configuration {options.config}"
        raise UsageError(f"{error} ({where})") from None
    with ExitStack() as folders:
        out = folders.enter_context(output_folder(options.out, "--out"))
        if options.commands is not None:
            if os.path.isdir(options.commands) or not options.commands.name:
                raise UsageError(
                    f"--commands must be a file, not the folder {str(options.commands)!r}"
                )
            if len(os.fsencode(options.commands.name)) > 200:
                raise UsageError(
                    "--commands must have a name of at most 200 bytes, "
                    f"not {options.commands.name[:40]!r}..."
                )
            folders.enter_context(
                output_folder(options.commands.parent, "the folder of --commands")
            )
        return _decode(options, config, model, prompts, answers, chosen, out, console)


def _decode(
    options: argparse.Namespace,
    config: Config,
    model: ModelChoice,
    prompts: tuple[bytes, ...],
    answers: tuple[int, ...],
    chosen: Sequence[DeviceVariant],
    out: Path,
    console: Console,
) -> int:
    """Run the variants, show and write what they gave; return the exit status."""
    try:
        find_compiler()
    except CompilerNotFoundError as error:
        self_check(console)
        raise UsageError(str(error)) from None
    jobs = [
        Job(
            variant=variant,
            config=config,
            model=model,
            prompts=prompts,
            answers=answers,
            commands=commands_file(options.commands, variant, alone=len(chosen) == 1),
        )
        for variant in chosen
    ]
    console.print(
        f"{len(prompts)} requests on {config.name}, {config.memory.channels} channels × "
        f"{config.memory.banks} banks, array {config.npu.array_rows} × "
        f"{config.npu.array_columns}: model {model.name}"
    )
    console.print(
        f"Variants: {', '.join(variant.name for variant in chosen)}. A design that is not in "
        f"{cache_folder()} is compiled first: a minute or two of one core, once.",
        soft_wrap=True,
        highlight=False,
    )
    if not model.trained:
        console.print("Its weights are random, not trained: the text means nothing.")
    start = time.perf_counter()
    try:
        outcomes = _run(jobs, console)
    except (MismatchError, DeviceError, RuntimeError) as error:
        console.print(f"[red]failed:[/red] {error}", soft_wrap=True, highlight=False)
        return 1
    _report(prompts, outcomes, out, console)
    console.print(f"{time.perf_counter() - start:.0f} s")
    return 0


def commands_file(path: Path | None, variant: DeviceVariant, *, alone: bool) -> Path | None:
    """Return where the DRAM commands of a variant go."""
    return path if path is None or alone else path.with_stem(f"{path.stem}-{variant.schedule}")


def prompts_and_answers(
    options: argparse.Namespace, model: ModelChoice
) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Return the prompts and the longest answer that each may have."""
    if options.requests is not None and options.prompts is not None:
        raise UsageError("--requests and --prompts must not be given together")
    if options.answer_tokens < 1:
        raise UsageError(f"--answer-tokens must be at least 1, not {options.answer_tokens}")
    if options.requests is not None:
        return _lengths(options.requests, model)
    where = "the prompts that ship with the project"
    prompts = load_prompts(model.name)
    shape = model.shape
    if options.prompts is not None:
        where = str(options.prompts)
        lines = _text(options.prompts, "--prompts").encode().splitlines()
        if lines and looks_like_a_table(lines[0].decode()):
            raise UsageError(
                f"--prompts must be text, not a table of requests ({where}): use --requests"
            )
        prompts = [line for line in lines if line]
        if not prompts:
            raise UsageError(f"--prompts must hold at least one prompt, not {where} (it is empty)")
    for number, prompt in enumerate(prompts, 1):
        if len(prompt) > shape.context:
            raise UsageError(
                f"a prompt must have at most {shape.context} bytes, the context of the model, "
                f"not {len(prompt)} (prompt {number} of {where})"
            )
    answers = [min(options.answer_tokens, shape.context + 1 - len(p)) for p in prompts]
    return tuple(prompts), tuple(answers)


def _text(path: Path, option: str) -> str:
    """Return the text of a file; line ends are as in any editor."""
    content = read_bytes(path, option)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{option} must be UTF-8, not {path} ({error.reason})") from None


def _lengths(path: Path, model: ModelChoice) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Return random prompts of the lengths in a table, and the lengths of their answers."""
    try:
        requests = read_requests(_text(path, "--requests"))
    except ValueError as error:
        raise UsageError(f"--requests {path}: {error}") from None
    rng = np.random.default_rng(0)
    for number, request in enumerate(requests, 1):
        total = request.prompt + request.answer - 1
        if total > model.shape.context:
            raise UsageError(
                f"prompt and answer must have at most {model.shape.context + 1} tokens, the "
                f"context of the model and one, not {total + 1} (request {number} of {path})"
            )
    prompts = (rng.integers(32, 127, r.prompt, np.uint8).tobytes() for r in requests)
    return tuple(prompts), tuple(request.answer for request in requests)


def _run(jobs: Sequence[Job], console: Console) -> list[Outcome]:
    """Run the jobs on the cores there are, showing how far they have come."""
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.completed:.0f}/{task.total:.0f} requests"),
        TextColumn("{task.fields[news]}"),
        TimeElapsedColumn(),
        console=console,
    )
    tasks: dict[str, TaskID] = {}
    with bars:
        for job in jobs:
            name = job.variant.name
            tasks[name] = bars.add_task(name, total=len(job.prompts), news="waits", start=False)

        def report(news: News) -> None:
            text = news.doing
            if news.iterations:
                speed = news.cycles / max(news.seconds, 1e-9) / 1000
                text = f"iteration {news.iterations}, {news.tokens} tokens, {speed:.0f} k cycles/s"
            bars.start_task(tasks[news.name])
            bars.update(tasks[news.name], completed=news.finished, news=text)

        return run_variants(jobs, report)


def _report(
    prompts: Sequence[bytes], outcomes: Sequence[Outcome], out: Path, console: Console
) -> None:
    for prompt, answer in zip(prompts, outcomes[0].answers, strict=True):
        text = (prompt.decode(errors="replace"), answer.decode(errors="replace"))
        console.print(f"[bold]{_plain(text[0])}[/bold]{_plain(text[1])}", soft_wrap=True)
    variants = [
        Variant(
            name=outcome.variant.name,
            config=outcome.config,
            cycles=outcome.cycles,
            tokens=outcome.tokens,
            counters=outcome.counters,
        )
        for outcome in outcomes
    ]
    console.print(variants_table(variants))
    if comparison := compare_interleaving(outcomes):
        console.print(comparison.table())
        console.print(comparison.text(), highlight=False)
    checked = sum(outcome.commands for outcome in outcomes)
    worst = max(outcome.float64_error for outcome in outcomes)
    console.print(
        "Tokens and logits of every step equal the NumPy reference, bit for bit; the protocol "
        f"monitor found no violation in {checked:,} records; logits differ by at most {worst:.3f} "
        "from those of a float64 transformer.",
        highlight=False,
    )
    for path in _write(variants, outcomes, out):
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)


def _write(variants: Sequence[Variant], outcomes: Sequence[Outcome], out: Path) -> list[Path]:
    """Write the table as JSON, and of every variant a picture and a trace of one iteration."""
    # Matplotlib is loaded where something is drawn, and keeps its files in our cache.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
    from scheduler.report.timeline import draw_timeline, save_figure

    content = json.dumps(variant_rows(variants), indent=1) + "\n"
    written = [write_file(out / "variants.json", lambda path: path.write_text(content))]
    for outcome in outcomes:
        snapshot, schedule = outcome.snapshot, outcome.variant.schedule
        if snapshot is None:
            continue
        timeline = make_timeline(snapshot.program, snapshot.result)
        title = f"{outcome.variant.name}: iteration {snapshot.number}"
        figure = draw_timeline(timeline, title=title)
        for suffix in (".svg", ".png"):
            path = out / f"timeline-{schedule}{suffix}"
            written.append(write_file(path, partial(save_figure, figure)))
        path = out / f"trace-{schedule}.json"
        written.append(write_file(path, partial(write_trace, timeline)))
        if outcome.commands_file is not None:
            written.append(outcome.commands_file)
    return written


def _plain(text: str) -> str:
    """Make text safe to print: no markup, and no control characters."""
    return "".join(c if c.isprintable() else "�" for c in text).replace("[", r"\[")
