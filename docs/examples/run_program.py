"""Compile an iteration to a program, disassemble it, and run it on the compiled device."""

from hw.presets import TINY
from hw.program.assembly import disassemble
from scheduler.compiler.iteration_program import Schedule
from scheduler.host import Host
from scheduler.models.weights import load_weights
from scheduler.serving.request import Request
from sim.devices.compiled_device import RtlDevice


def main() -> None:
    """Decode the first tokens of one prompt, and show the program of the first iteration."""
    device = RtlDevice(TINY, announce=print)
    host = Host(TINY, device, load_weights("tiny-gpt"), Schedule.HEADS)
    host.submit(Request(0, tuple(b"The "), 1, stop=ord(".")))
    for number, step in enumerate(host.run()):
        if number == 0:
            lines = disassemble(step.program).splitlines()
            print("\n".join(line for line in lines if not line.startswith("."))[:1200])
        print(f"iteration {number}: {step.result.cycles} cycles")


if __name__ == "__main__":
    main()
