"""The makers of edge cases: see ../check_edges.py."""
