"""What controller and die have agreed on: commands, timing, addresses, results."""
