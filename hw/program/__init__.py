"""The contract between host and device: instruction set, programs, tokens, footprints."""
