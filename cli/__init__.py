"""The command line: it speaks, and decides nothing."""
