"""Models by name, or from a user's ``config.json``."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from scheduler.commands.errors import UsageError
from scheduler.commands.files import read_bytes
from scheduler.models.catalog import CATALOG
from scheduler.models.hf_config import parse_config
from scheduler.models.shape import ModelShape
from scheduler.models.weights import (
    Weights,
    has_weights,
    load_weights,
    random_weights,
)

__all__ = ["ModelChoice", "choose_model"]

#: Bytes are tokens: a vocabulary has at least these.
BYTES = 256


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that a user has chosen.

    Attributes
    ----------
    name
        What reports call it.
    shape
        Its shape.
    trained
        Whether weights ship with the project; if not, they are random, the same in every run.
    """

    name: str
    shape: ModelShape
    trained: bool

    def weights(self) -> Weights:
        """Load its weights, or make them."""
        return load_weights(self.name) if self.trained else random_weights(self.shape)


def choose_model(text: str) -> ModelChoice:
    """Return a model by its name, or the one that a ``.json`` file describes.

    Raises
    ------
    UsageError
        If there is no such model or file, there are no weights of it, or it cannot be built.
    """
    if text.endswith(".json"):
        try:
            shape = parse_config(read_bytes(Path(text), "--model"))
            if shape.vocabulary < BYTES:
                raise ValueError(
                    f"vocab_size must be at least {BYTES}, since prompts are bytes, "
                    f"not {shape.vocabulary}"
                )
        except ValueError as error:
            raise UsageError(f"{error} (in {text})") from None
        return ModelChoice(text, shape, trained=False)
    runnable = [name for name in CATALOG if has_weights(name)]
    if text in CATALOG and text not in runnable:
        raise UsageError(
            f"--model must have weights, as {' and '.join(runnable)} have, not be {text!r}; "
            "a config.json of that shape gets random ones"
        )
    if text not in CATALOG:
        nearest = get_close_matches(text, CATALOG, n=1, cutoff=0.0)[0]
        raise UsageError(
            f"--model must be one of {', '.join(runnable)} or a config.json, not {text!r} "
            f"(the nearest name is {nearest})"
        )
    return ModelChoice(text, CATALOG[text].shape, trained=True)
