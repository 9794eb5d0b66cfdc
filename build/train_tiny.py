"""Train tiny-gpt, the byte-level transformer that the RTL decodes with.

``python build/train_tiny.py`` (two minutes on two cores, needs the extra ``train``) writes
``scheduler/models/data/tiny-gpt.npz``: one uint16 array of bfloat16 bits a parameter. It is trained
on sentences written for it (``tiny_corpus.txt``) and on sentences of a small grammar, each of which
starts at position 0, as prompts do. In training the weights are already rounded to bfloat16, so
rounding at the end costs nothing. The same seed on the same machine gives the same weights.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from scheduler.models.catalog import CATALOG
from scheduler.models.weights import parameter_shapes

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "scheduler" / "models" / "data"
SHAPE = CATALOG["tiny-gpt"].shape
EPSILON = 1e-5
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


def new_parameters(generator: torch.Generator) -> Parameters:
    """Return parameters to start from: gammas 1, betas and biases 0, the rest normal."""
    parameters = {}
    for name, size in parameter_shapes(SHAPE).items():
        if name.endswith("gamma"):
            value = torch.ones(size)
        elif len(size) == 1:
            value = torch.zeros(size)
        else:
            deviation = 0.02 if "embedding" in name else size[0] ** -0.5
            if name.endswith(("w_proj", "w_ffn2")):
                deviation /= (2 * SHAPE.layers) ** 0.5
            value = torch.randn(size, generator=generator) * deviation
        parameters[name] = value.requires_grad_()
    return parameters


def rounded(parameters: Parameters) -> Parameters:
    """Return the parameters as bfloat16 values; gradients pass as if they were not rounded."""
    return {n: p + (p.bfloat16().float() - p).detach() for n, p in parameters.items()}


def forward(p: Parameters, tokens: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[sequence, position, vocabulary]`` of ``tokens[sequence, position]``."""
    count, length = tokens.shape
    width = (SHAPE.d_model,)
    x = p["tok_embedding"][tokens] + p["pos_embedding"][:length]
    for i in range(SHAPE.layers):
        w = {n.split(".")[1]: value for n, value in p.items() if n.startswith(f"layer{i}.")}
        y = functional.layer_norm(x, width, w["ln1_gamma"], w["ln1_beta"], EPSILON)
        qkv = (y @ w["w_qkv"] + w["b_qkv"]).view(count, length, 3, SHAPE.heads, SHAPE.d_head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + y.transpose(1, 2).reshape(count, length, -1) @ w["w_proj"] + w["b_proj"]
        y = functional.layer_norm(x, width, w["ln2_gamma"], w["ln2_beta"], EPSILON)
        y = functional.gelu(y @ w["w_ffn1"] + w["b_ffn1"], approximate="tanh")
        x = x + y @ w["w_ffn2"] + w["b_ffn2"]
    return functional.layer_norm(x, width, p["lnf_gamma"], p["lnf_beta"], EPSILON) @ p["w_head"]


def batch(sentences: list[bytes], size: int, rng: np.random.Generator) -> torch.Tensor:
    """Return ``int64[size, context + 1]``: sentences in random order, cut where a row is full."""
    rows = []
    for _ in range(size):
        row = b""
        while len(row) <= SHAPE.context:
            row += sentences[rng.integers(len(sentences))] + b"\n"
        rows.append(np.frombuffer(row[: SHAPE.context + 1], np.uint8))
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def bits_per_byte(p: Parameters, sentences: list[bytes]) -> float:
    """Return the cross entropy of sentences that each start at position 0, first byte given."""
    nats, count = 0.0, 0
    with torch.no_grad():
        for sentence in sentences:
            tokens = torch.tensor([list(sentence + b"\n")])
            logits = forward(p, tokens[:, :-1])
            nats += float(functional.cross_entropy(logits[0], tokens[0, 1:], reduction="sum"))
            count += tokens.shape[1] - 1
    return nats / count / float(np.log(2))


def answer(p: Parameters, prompt: bytes) -> bytes:
    """Return the greedy answer to a prompt, up to the end of its line."""
    tokens = list(prompt)
    with torch.no_grad():
        while len(tokens) < SHAPE.context and (len(tokens) == len(prompt) or tokens[-1] != 10):
            tokens.append(int(forward(p, torch.tensor([tokens]))[0, -1].argmax()))
    return bytes(tokens[len(prompt) :])


def train(sentences: list[bytes], steps: int, rng: np.random.Generator) -> Parameters:
    """Return the parameters that ``steps`` steps of AdamW give, not yet rounded."""
    parameters = new_parameters(torch.Generator().manual_seed(SEED))
    matrices = [p for p in parameters.values() if p.dim() == 2]
    vectors = [p for p in parameters.values() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    start = time.monotonic()
    for step in range(steps):
        tokens = batch(sentences, 24, rng)
        logits = forward(rounded(parameters), tokens[:, :-1])
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
    parser.add_argument("--steps", type=int, default=2000, help="steps of training")
    parser.add_argument("--out", type=Path, default=DATA / "tiny-gpt.npz", help="file to write")
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(SEED)

    own = (HERE / "tiny_corpus.txt").read_text(encoding="utf-8").splitlines()
    made = grammar(1440, rng)
    seen = [line.encode() for line in [*own * 8, *made[:1200]]]
    parameters = train(seen, arguments.steps, rng)

    final = {name: p.detach() for name, p in rounded(parameters).items()}
    arrays = {n: p.bfloat16().view(torch.int16).numpy().view(np.uint16) for n, p in final.items()}
    np.savez_compressed(arguments.out, **arrays)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size} bytes")
    print(f"bits per byte, own sentences: {bits_per_byte(final, seen[: len(own)]):.3f}")
    held_out = [line.encode() for line in made[1200:]]
    print(f"bits per byte, grammar, held out: {bits_per_byte(final, held_out):.3f}")
    for prompt in (DATA / "prompts.txt").read_bytes().splitlines():
        print(f"{prompt.decode()} |{answer(final, prompt).decode(errors='replace').rstrip()}")


if __name__ == "__main__":
    main()
