"""The makers of edge cases: see ../edge.py."""
