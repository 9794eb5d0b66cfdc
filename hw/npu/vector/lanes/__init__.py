"""The vector lanes, and what is between them: sums, largest elements, transposition."""
