"""Verilog of the tops."""
