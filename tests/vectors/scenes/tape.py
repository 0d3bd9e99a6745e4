"""Bytes that look random and follow from a seed: SHAKE256 of the seed and a count."""

import hashlib

WORDS = "the quick brown fox jumps over a lazy dog while rain falls on old roofs"


class Tape:
    """Each draw is another output; two tapes of one seed give the same."""

    def __init__(self, seed: int, name: str) -> None:
        self.start = f"hushwire vectors {seed} {name}".encode()
        self.count = 0

    def b(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(self.start + self.count.to_bytes(8, "big")).digest(size)

    def hex(self, size: int) -> str:
        return self.b(size).hex()

    def below(self, bound: int) -> int:
        return int.from_bytes(self.b(8), "big") % bound

    def words(self, count: int) -> str:
        """So many words of plain text."""
        known = WORDS.split()
        return " ".join(known[self.below(len(known))] for _ in range(count))
