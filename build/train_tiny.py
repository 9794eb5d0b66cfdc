"""Train the byte-level transformers that the RTL decodes with.

``python build/train_tiny.py --model tiny-gpt`` (or ``tiny-llama``; minutes on two cores, needs the
extra ``train``) writes ``scheduler/models/data/tiny-gpt.npz``: one uint16 array of bfloat16 bits a
parameter. It is trained on sentences written for it (``tiny_corpus.txt``) and on sentences of a
small grammar, each of which starts at position 0, as prompts do. In training the weights are
already rounded to bfloat16, so rounding at the end costs nothing. The same seed on the same machine
gives the same weights.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from scheduler.models.catalog import CATALOG
from scheduler.models.shape import Activation, ModelShape, NormKind, Positions
from scheduler.models.weights import load_prompts, parameter_shapes

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "scheduler" / "models" / "data"
SEED = 2024

#: Grammar: parts of a sentence; one is chosen of each line.
TIMES = ("At dawn", "At night", "In winter", "In spring", "After the rain", "Before the storm")
ANIMALS = ("heron", "sparrow", "owl", "swan", "otter", "fox", "gull", "crow")
ACTIONS = ("sleeps", "waits", "sings", "drinks", "looks for food", "hides")
PLACES = ("by the river", "under the bridge", "on the lake", "in the old oak", "near the mill")

Parameters = dict[str, torch.Tensor]


def grammar(count: int, rng: np.random.Generator) -> list[str]:
    """Return ``count`` different sentences of the grammar, in random order."""
    sentences = [
        f"{when} the {who} {does} {where}."
        for when in TIMES
        for who in ANIMALS
        for does in ACTIONS
        for where in PLACES
    ]
    return [sentences[i] for i in rng.permutation(len(sentences))[:count]]


def new_parameters(shape: ModelShape, generator: torch.Generator) -> Parameters:
    """Return parameters to start from: gammas 1, betas and biases 0, the rest normal."""
    parameters = {}
    for name, size in parameter_shapes(shape).items():
        if name.endswith("gamma"):
            value = torch.ones(size)
        elif len(size) == 1:
            value = torch.zeros(size)
        else:
            deviation = 0.02 if "embedding" in name else size[0] ** -0.5
            if name.endswith(("w_proj", "w_ffn2")):
                deviation /= (2 * shape.layers) ** 0.5
            value = torch.randn(size, generator=generator) * deviation
        parameters[name] = value.requires_grad_()
    return parameters


def rounded(parameters: Parameters) -> Parameters:
    """Return the parameters as bfloat16 values; gradients pass as if they were not rounded."""
    return {n: p + (p.bfloat16().float() - p).detach() for n, p in parameters.items()}


def norm(shape: ModelShape, p: Parameters, name: str, x: torch.Tensor) -> torch.Tensor:
    """Return the norm of the kind of the model, with the parameters of that name."""
    gamma = p[f"{name}_gamma"]
    if shape.norm is NormKind.RMS:
        return functional.rms_norm(x, (shape.d_model,), gamma, shape.epsilon)
    return functional.layer_norm(x, (shape.d_model,), gamma, p[f"{name}_beta"], shape.epsilon)


def linear(
    p: Parameters, name: str, x: torch.Tensor, residual: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``x @ w_name``, plus the residual if there is one, and the bias if there is one."""
    total = x @ p[f"w_{name}"]
    if residual is not None:
        total = residual + total
    return total + p[f"b_{name}"] if f"b_{name}" in p else total


def rotated(shape: ModelShape, x: torch.Tensor) -> torch.Tensor:
    """Turn neighbouring pairs of ``x[sequence, head, position, d_head]`` by their positions."""
    exponents = torch.arange(0, shape.d_head, 2) / shape.d_head
    angles = torch.outer(torch.arange(x.shape[2]), shape.rotary_base**-exponents)
    cosine, sine = angles.cos(), angles.sin()
    even, odd = x[..., 0::2], x[..., 1::2]
    pairs = (even * cosine - odd * sine, even * sine + odd * cosine)
    return torch.stack(pairs, dim=-1).flatten(-2)


def attention(shape: ModelShape, w: Parameters, y: torch.Tensor) -> torch.Tensor:
    """Return the heads' results, ``[sequence, position, heads × d_head]``."""
    count, length = y.shape[:2]
    parts = linear(w, "qkv", y).view(count, length, -1, shape.d_head).transpose(1, 2)
    q, k, v = parts.split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
    if shape.positions is Positions.ROTARY:
        q, k = rotated(shape, q), rotated(shape, k)
    if shape.query_group > 1:
        k, v = (x.repeat_interleave(shape.query_group, dim=1) for x in (k, v))
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.transpose(1, 2).reshape(count, length, -1)


def forward(shape: ModelShape, p: Parameters, tokens: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[sequence, position, vocabulary]`` of ``tokens[sequence, position]``."""
    x = p["tok_embedding"][tokens]
    if shape.positions is Positions.LEARNED:
        x = x + p["pos_embedding"][: tokens.shape[1]]
    for i in range(shape.layers):
        w = {n.split(".")[1]: value for n, value in p.items() if n.startswith(f"layer{i}.")}
        x = linear(w, "proj", attention(shape, w, norm(shape, w, "ln1", x)), x)
        y = norm(shape, w, "ln2", x)
        if shape.activation is Activation.SWIGLU:
            y = functional.silu(y @ w["w_gate"]) * linear(w, "ffn1", y)
        else:
            y = functional.gelu(linear(w, "ffn1", y), approximate="tanh")
        x = linear(w, "ffn2", y, x)
    head = p["tok_embedding"].T if shape.tied_head else p["w_head"]
    return norm(shape, p, "lnf", x) @ head


def batch(
    context: int, sentences: list[bytes], size: int, rng: np.random.Generator
) -> torch.Tensor:
    """Return ``int64[size, context + 1]``: sentences in random order, cut where a row is full."""
    rows = []
    for _ in range(size):
        row = b""
        while len(row) <= context:
            row += sentences[rng.integers(len(sentences))] + b"\n"
        rows.append(np.frombuffer(row[: context + 1], np.uint8))
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def bits_per_byte(shape: ModelShape, p: Parameters, sentences: list[bytes]) -> float:
    """Return the cross entropy of sentences that each start at position 0, first byte given."""
    nats, count = 0.0, 0
    with torch.no_grad():
        for sentence in sentences:
            tokens = torch.tensor([list(sentence + b"\n")])
            logits = forward(shape, p, tokens[:, :-1])
            nats += float(functional.cross_entropy(logits[0], tokens[0, 1:], reduction="sum"))
            count += tokens.shape[1] - 1
    return nats / count / float(np.log(2))


def answer(shape: ModelShape, p: Parameters, prompt: bytes) -> bytes:
    """Return the greedy answer to a prompt, up to the end of its line."""
    tokens = list(prompt)
    with torch.no_grad():
        while len(tokens) < shape.context and (len(tokens) == len(prompt) or tokens[-1] != 10):
            tokens.append(int(forward(shape, p, torch.tensor([tokens]))[0, -1].argmax()))
    return bytes(tokens[len(prompt) :])


def train(
    shape: ModelShape, sentences: list[bytes], steps: int, rng: np.random.Generator
) -> Parameters:
    """Return the parameters that ``steps`` steps of AdamW give, not yet rounded."""
    parameters = new_parameters(shape, torch.Generator().manual_seed(SEED))
    matrices = [p for p in parameters.values() if p.dim() == 2]
    vectors = [p for p in parameters.values() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    start = time.monotonic()
    for step in range(steps):
        tokens = batch(shape.context, sentences, 24, rng)
        logits = forward(shape, rounded(parameters), tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}  {time.monotonic() - start:.0f} s")
    return parameters


def main() -> None:
    """Train, write the weights, print what the model writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    trainable = [name for name in CATALOG if name.startswith("tiny-")]
    parser.add_argument("--model", choices=trainable, default="tiny-gpt", help="the model")
    parser.add_argument("--steps", type=int, default=2000, help="steps of training")
    parser.add_argument("--out", type=Path, help="file to write (default: the one that ships)")
    arguments = parser.parse_args()
    shape = CATALOG[arguments.model].shape
    out: Path = arguments.out or DATA / f"{arguments.model}.npz"
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(SEED)

    own = (HERE / "tiny_corpus.txt").read_text(encoding="utf-8").splitlines()
    made = grammar(1440, rng)
    seen = [line.encode() for line in [*own * 8, *made[:1200]]]
    parameters = train(shape, seen, arguments.steps, rng)

    final = {name: p.detach() for name, p in rounded(parameters).items()}
    arrays: dict[str, Any] = {
        n: p.bfloat16().view(torch.int16).numpy().view(np.uint16) for n, p in final.items()
    }
    np.savez_compressed(out, **arrays)
    print(f"wrote {out}, {out.stat().st_size} bytes")
    print(f"bits per byte, own sentences: {bits_per_byte(shape, final, seen[: len(own)]):.3f}")
    held_out = [line.encode() for line in made[1200:]]
    print(f"bits per byte, grammar, held out: {bits_per_byte(shape, final, held_out):.3f}")
    for prompt in load_prompts(arguments.model):
        print(
            f"{prompt.decode()} |{answer(shape, final, prompt).decode(errors='replace').rstrip()}"
        )


if __name__ == "__main__":
    main()
