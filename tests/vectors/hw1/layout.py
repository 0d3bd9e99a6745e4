"""Fixed layouts (CRYPTO 2): big-endian integers, raw bytes, and bytes with their length before.

A reader refuses what is too short, and `end` what is too long. Nothing here knows what it reads.
"""

from hw1.refused import MALFORMED, require


def u8(value: int) -> bytes:
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def v8(data: bytes) -> bytes:
    return u8(len(data)) + data


def v16(data: bytes) -> bytes:
    return u16(len(data)) + data


def v32(data: bytes) -> bytes:
    return u32(len(data)) + data


class Reader:
    """Reads a layout from the front. Every method refuses when too little is left."""

    def __init__(self, data: bytes, code: str = MALFORMED) -> None:
        self.data = data
        self.at = 0
        self.code = code

    def b(self, size: int) -> bytes:
        require(self.at + size <= len(self.data), self.code, "too short")
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self) -> int:
        return int.from_bytes(self.b(1), "big")

    def u16(self) -> int:
        return int.from_bytes(self.b(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.b(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.b(8), "big")

    def v8(self) -> bytes:
        return self.b(self.u8())

    def v16(self) -> bytes:
        return self.b(self.u16())

    def v32(self) -> bytes:
        return self.b(self.u32())

    def rest(self) -> bytes:
        return self.b(len(self.data) - self.at)

    def end(self) -> None:
        """Refuses bytes after the end."""
        require(self.at == len(self.data), self.code, "bytes after the end")

    def version(self) -> None:
        """The first byte of every structure: 1, or it is refused."""
        require(self.u8() == 1, self.code, "unknown version")
