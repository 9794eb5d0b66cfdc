"""Export one top as Verilog: the processing element of the systolic array."""

from hw.export.emit import verilog
from hw.presets import TINY


def main() -> None:
    """Print the first lines of the Verilog, and the ports."""
    text, ports = verilog(TINY, "processing_element")
    print("\n".join(text.splitlines()[:10]))
    for port in ports:
        print(f"{'output' if port.output else 'input':6} {port.name}: {port.width} bits")


if __name__ == "__main__":
    main()
