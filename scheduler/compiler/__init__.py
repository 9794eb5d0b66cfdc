"""From decoder blocks to a program."""
