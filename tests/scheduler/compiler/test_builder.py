"""Tokens that the builder derives."""

from hw.presets import TINY
from hw.program.instruction_set import Opcode, Queue
from hw.program.program import Label
from hw.program.tokens import named_queues
from scheduler.compiler.builder import ProgramBuilder, Region

LABEL = Label("any")


def test_what_follows_a_barrier_waits_for_every_queue_but_other_channels():
    """Channels have no tokens for each other; the device refuses such an instruction."""
    builder = ProgramBuilder(TINY)
    for channel in range(2):
        builder.emit(Queue.PIM + channel, Opcode.VECTOR, LABEL, bursts=1, rows=1)
    builder.barrier()
    for queue in (Queue.PIM, Queue.PIM + 1, Queue.STORE):
        opcode = Opcode.STORE if queue == Queue.STORE else Opcode.VECTOR
        builder.emit(queue, opcode, LABEL, bursts=1, rows=1)
    streams = builder.finish().streams
    assert named_queues(streams[Queue.PIM][1], "wait") == []
    assert named_queues(streams[Queue.PIM + 1][1], "wait") == []
    assert named_queues(streams[Queue.STORE][0], "wait") == [Queue.PIM, Queue.PIM + 1]


def test_reader_waits_for_the_writer_of_another_queue_once():
    builder, region = ProgramBuilder(TINY), Region("somewhere")
    builder.emit(Queue.STORE, Opcode.STORE, LABEL, writes=[region], bursts=1, rows=1)
    for _ in range(2):
        builder.emit(Queue.PIM, Opcode.VECTOR, LABEL, reads=[region], bursts=1, rows=1)
    streams = builder.finish().streams
    assert named_queues(streams[Queue.PIM][0], "wait") == [Queue.STORE]
    assert named_queues(streams[Queue.PIM][1], "wait") == []
    assert named_queues(streams[Queue.STORE][0], "signal") == [Queue.PIM]
