"""PIM units: instructions of a PIM queue become operations of its channel."""
