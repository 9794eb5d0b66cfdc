"""Command traces: records of what crossed the C/A buses, as arrays and as files."""
