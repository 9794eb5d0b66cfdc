"""A small batch of a shipped model, to compile and to execute."""

from dataclasses import dataclass

import numpy as np
import pytest

from hw.presets import TINY
from scheduler.compiler.attention.buffers import Decode
from scheduler.compiler.attention.kv_geometry import KvGeometry
from scheduler.compiler.dense.placement import model_images, place_model
from scheduler.compiler.iteration_program import Schedule, SubBatch, compile_iteration, io_bytes
from scheduler.models.weights import load_weights
from sim.reference import Reference


@dataclass
class Batch:
    """Requests at positions of their own, with pages; executes programs on a reference."""

    config: object
    contexts: list[int]
    weights: object

    def __post_init__(self):
        config = self.config
        self.shape = self.weights.shape
        io = io_bytes(config, self.shape, len(self.contexts))
        self.model = place_model(config, self.shape, io)
        self.geometry = KvGeometry.of(config, self.shape)
        next_row = [self.model.first_kv_row] * config.memory.channels
        self.pages = []
        for request, context in enumerate(self.contexts):
            channel = request % config.memory.channels

            def take(parts, pages, channel=channel):
                layers = self.shape.layers
                start = next_row[channel]
                next_row[channel] += layers * parts * pages
                return np.arange(start, next_row[channel]).reshape(layers, parts, pages)

            geometry = self.geometry
            keys = take(geometry.k_parts, -(-context // config.memory.banks))
            values = take(geometry.v_parts, -(-context // geometry.v_tokens))
            tail = take(1, geometry.tail_rows)[:, 0, ::-1]  # no two rows follow one another
            self.pages.append((keys, values, tail))

    def reference(self):
        reference = Reference(self.config)
        for channel, address, content in model_images(self.config, self.model, self.weights):
            reference.write(channel, address, content)
        return reference

    def compile(self, tokens, positions, schedule):
        """Compile a step of requests 0, 1, … with these tokens at these positions."""
        requests = list(range(len(tokens)))
        groups = [requests]
        if schedule is Schedule.INTERLEAVED:
            groups = [requests[0::2], requests[1::2]]
        sub_batches = []
        for group in groups:
            decodes = tuple(
                Decode(r, r % self.config.memory.channels, row, positions[r], *self.pages[r])
                for row, r in enumerate(group)
            )
            sub_batches.append(SubBatch.of(self.weights, decodes, [tokens[r] for r in group]))
        return compile_iteration(self.config, self.model, sub_batches, schedule)


@pytest.fixture
def batch():
    def make(contexts, config=TINY, model="tiny-gpt", weights=None):
        return Batch(config, contexts, load_weights(model) if weights is None else weights)

    return make
