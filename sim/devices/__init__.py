"""Devices that run programs: the RTL under either engine, against the reference."""
