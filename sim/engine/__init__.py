"""RTL engines: simulators of a design."""
