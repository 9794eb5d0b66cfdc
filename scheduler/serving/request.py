"""A request: the text to go on from, and how far its answer has come."""

from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = ["Request", "State"]


class State(Enum):
    """Where a request is."""

    WAITING = auto()
    RESIDENT = auto()
    FINISHED = auto()


@dataclass(slots=True, eq=False)
class Request:
    """A request and its stream of tokens: those of the prompt, then those of the answer.

    The device takes one token of a request an iteration. While the prompt lasts, what the device
    chooses is not used; the choice after the prompt's last token is the answer's first.

    >>> request = Request(0, prompt=(72, 105), limit=2)
    >>> request.token, request.position
    (72, 0)
    >>> for chosen in (9, 33, 10):
    ...     request.advance(chosen)
    >>> request.answer, request.finished
    ([33, 10], True)

    Attributes
    ----------
    number
        Its name in programs, tables and pictures.
    prompt
        Tokens of the prompt, at least one.
    limit
        Tokens of the answer, at most; at least one.
    stop
        A token that ends the answer (and is its last one), if any.
    position
        Tokens of it that the device has taken: the context, and the position of the next token.
    answer
        Tokens that the device has chosen.
    """

    number: int
    prompt: tuple[int, ...]
    limit: int
    stop: int | None = None
    state: State = State.WAITING
    position: int = 0
    answer: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt = tuple(self.prompt)
        if not self.prompt:
            raise ValueError("prompt must have at least one token")
        if self.limit < 1:
            raise ValueError(f"limit must be at least 1 token, not {self.limit!r}")

    @property
    def token(self) -> int:
        """The token that the device takes next."""
        if self.position < len(self.prompt):
            return self.prompt[self.position]
        return self.answer[self.position - len(self.prompt)]

    @property
    def longest_context(self) -> int:
        """Tokens that its cache holds in the end, if the answer is as long as it may be.

        The last token of the answer is never taken by the device.
        """
        return len(self.prompt) + self.limit - 1

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        if not self.answer:
            return False
        return len(self.answer) == self.limit or self.answer[-1] == self.stop

    def advance(self, chosen: int) -> None:
        """Note that the device has taken :attr:`token` and chosen ``chosen`` to follow it.

        Raises
        ------
        ValueError
            If the answer is complete.
        """
        if self.finished:
            raise ValueError(f"request {self.number} must not advance: its answer is complete")
        self.position += 1
        if self.position >= len(self.prompt):
            self.answer.append(chosen)
