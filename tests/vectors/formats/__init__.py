"""The files of vectors: how each kind is read, recomputed and compared (README).

Knows JSON and `hw1`; draws nothing at random.
"""
