"""Iteration-level scheduling: who takes part in each iteration.

Requests are decided upon between iterations, not between batches (Orca): one that has its answer
leaves at once, and one that waits takes its place in the next iteration.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.serving.balance import least_loaded
from scheduler.serving.kv_pages import KvPages, KvRows
from scheduler.serving.mha_latency import PimCosts, mha_latency
from scheduler.serving.request import Request, State
from scheduler.serving.sub_batch import partition

__all__ = ["Iteration", "IterationScheduler", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one request does in an iteration: the device takes ``token``, the ``position``-th."""

    request: int
    token: int
    position: int
    rows: KvRows


@dataclass(frozen=True, slots=True)
class Iteration:
    """The decisions for one iteration.

    Attributes
    ----------
    number
        Iterations before it.
    sub_batches
        One or two; none is empty. Requests of a channel stand side by side.
    entered
        Requests that take part for the first time.
    """

    number: int
    sub_batches: tuple[tuple[Step, ...], ...]
    entered: tuple[int, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, sub-batch by sub-batch."""
        return tuple(step for sub_batch in self.sub_batches for step in sub_batch)


class IterationScheduler:
    """Waiting and resident requests, and the channels that the latter are bound to.

    Requests are admitted in the order of their arrival, each to the least loaded channel that has
    pages for its longest context; if none has, it and all behind it wait. So nobody starves.
    A channel's load is the sum of Algorithm 1 over its requests, at the context that each has or,
    where its prompt has not passed yet, soon will have.

    Parameters
    ----------
    pages
        The memory for keys and values.
    max_resident
        Requests that take part in one iteration, at most.
    interleaved
        Whether the batch is split into two sub-batches.
    interleave_from
        Requests in an iteration from which it is split: GEMMs of smaller halves would waste more
        than the overlap wins (NeuPIMs, section 8.2: it pays from large batches on).
    costs
        What the load of a channel is estimated with; those of the device unless given.
    """

    def __init__(
        self,
        pages: KvPages,
        *,
        max_resident: int = 8,
        interleaved: bool = True,
        interleave_from: int = 2,
        costs: PimCosts | None = None,
    ) -> None:
        if max_resident < 1:
            raise ValueError(f"max_resident must be at least 1, not {max_resident!r}")
        self.pages = pages
        self.max_resident = max_resident
        self.interleaved = interleaved
        self.interleave_from = interleave_from
        self.costs = PimCosts.of(pages.config) if costs is None else costs
        self.waiting: deque[Request] = deque()
        self.finished: list[Request] = []
        self._known: set[int] = set()
        self._resident: dict[int, Request] = {}
        self._rows: dict[int, KvRows] = {}
        self._running: Iteration | None = None
        self._number = 0

    @property
    def resident(self) -> tuple[Request, ...]:
        """The resident requests, in the order of their admission."""
        return tuple(self._resident.values())

    def loads(self) -> list[int]:
        """Return the load of each channel, in cycles a layer."""
        loads = [0] * self.pages.config.memory.channels
        shape = self.pages.shape
        for request in self._resident.values():
            loads[self._rows[request.number].channel] += mha_latency(
                max(request.position, len(request.prompt)),
                d_model=shape.d_kv,  # a tile of keys or values serves all heads that share it
                heads=shape.kv_heads,
                costs=self.costs,
            )
        return loads

    def submit(self, request: Request) -> None:
        """Let a request wait for admission.

        Raises
        ------
        ValueError
            If it can never be served: its longest context exceeds the model's or a whole channel.
            Or if a request of that number has been submitted before.
        """
        context = request.longest_context
        if context > self.pages.shape.context:
            raise ValueError(
                f"the context of request {request.number} must be at most "
                f"{self.pages.shape.context} tokens, not {context}"
            )
        if not self.pages.ever_fits(context):
            raise ValueError(
                f"the context of request {request.number} must fit an empty channel: it takes "
                f"{self.pages.rows_needed(context)} rows"
            )
        if request.number in self._known:
            raise ValueError(f"request {request.number} must not be submitted twice")
        self._known.add(request.number)
        self.waiting.append(request)

    def next_iteration(self) -> Iteration | None:
        """Admit whom there is room for, and return the next iteration, or none if all is done.

        Raises
        ------
        ValueError
            If the iteration before has not been completed.
        """
        if self._running is not None:
            raise ValueError(f"iteration {self._running.number} must be completed first")
        entered = self._admit()
        if not self._resident:
            return None
        channels: list[list[Step]] = [[] for _ in range(self.pages.config.memory.channels)]
        for number, request in self._resident.items():
            rows = self._rows[number]
            channels[rows.channel].append(Step(number, request.token, request.position, rows))
        if self.interleaved and len(self._resident) >= self.interleave_from:
            parts = partition(channels)
        else:
            parts = (tuple(step for steps in channels for step in steps), ())
        sub_batches = tuple(part for part in parts if part)
        self._running = Iteration(self._number, sub_batches, tuple(entered))
        self._number += 1
        return self._running

    def complete(self, chosen: Mapping[int, int]) -> list[Request]:
        """Take the tokens that the device has chosen, by request; return who has finished.

        Raises
        ------
        ValueError
            If the tokens are not those of the running iteration's requests.
        """
        running = self._running
        if running is None or set(chosen) != {step.request for step in running.steps}:
            raise ValueError("chosen must name the requests of the running iteration")
        self._running = None
        done = []
        for number, token in chosen.items():
            request = self._resident[number]
            request.advance(int(token))
            if request.finished:
                request.state = State.FINISHED
                done.append(request)
        for request in done:
            self.pages.free(request.number)
            del self._resident[request.number], self._rows[request.number]
        self.finished += done
        return done

    def _admit(self) -> list[int]:
        """Bind waiting requests to channels while there is room; return their numbers."""
        entered = []
        while self.waiting and len(self._resident) < self.max_resident:
            request = self.waiting[0]
            context = request.longest_context
            loads = self.loads()
            usable = [self.pages.fits(channel, context) for channel in range(len(loads))]
            channel = least_loaded(loads, usable)
            if channel is None:
                break
            self.waiting.popleft()
            self._rows[request.number] = self.pages.allocate(request.number, channel, context)
            self._resident[request.number] = request
            request.state = State.RESIDENT
            entered.append(request.number)
        return entered
