"""The machine: configuration, number formats, commands, timing, instructions, modules."""
