"""Arithmetic: number formats, their golden models, and pipelined units."""
