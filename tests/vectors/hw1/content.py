"""Content (CRYPTO 6 and 7): what is sealed, its padding, and which type goes with which class.

Bodies are `body`'s. A `Content` parsed from padded bytes is well-formed throughout.
"""

from dataclasses import dataclass

from hw1 import body, file
from hw1.layout import Reader, u8, u16, u32, u64, v32
from hw1.message import MAX_PADDED, is_padded_len
from hw1.refused import require

BAD = "BAD_CONTENT"
SELF_SYNC = 7
SUBS = range(1, 8)
# Bytes of padded content, at most; MAX_PADDED for the other types.
MOST = {3: 512, 5: 16 * 1024, 6: 512, 8: 256, 9: 512, 10: 512, 12: 512}
# type: (classes, lane)
PLACES: dict[int, tuple[frozenset[int], int]] = {
    1: (frozenset([1]), 0),
    2: (frozenset([2]), 0),
    3: (frozenset([3]), 0),
    4: (frozenset([4, 5, 6]), 0),
    5: (frozenset([16]), 1),
    6: (frozenset([17]), 0),
    SELF_SYNC: (frozenset([17]), 0),
    8: (frozenset([17]), 1),
    9: (frozenset([18]), 0),
    10: (frozenset([18]), 0),
    11: (frozenset([1]), 0),
    12: (frozenset([17]), 0),
}


class Dropped(Exception):
    """Authentic and well-formed, but in the wrong place, a self-sync of an unknown sub, or of an unknown type.

    Nobody looks at the body of an unknown type. Dropped silently, and counted.
    """


@dataclass(frozen=True)
class Content:
    type: int
    content_id: bytes
    sent_ms: int
    prev_sent: int
    seen: tuple[int, ...]
    body: bytes

    def encode(self) -> bytes:
        start = u8(1) + u8(self.type) + u16(0) + self.content_id + u64(self.sent_ms)
        seen = u8(len(self.seen)) + b"".join(u32(count) for count in self.seen)
        return start + u32(self.prev_sent) + seen + v32(self.body)


def padded_len(size: int) -> int | None:
    """256, 512, ... 65,536; None if it is too long."""
    wanted = 256
    while wanted < size:
        wanted *= 2
    return wanted if wanted <= MAX_PADDED else None


def pad(content: bytes) -> bytes:
    wanted = padded_len(len(content))
    require(wanted is not None, BAD, "too long")
    assert wanted is not None
    return content.ljust(wanted, b"\0")


def open_(padded: bytes, cls: int, lane: int, roster: int) -> Content:
    """Refuses with BAD_CONTENT, or raises Dropped."""
    require(is_padded_len(len(padded)), BAD, "padded size")
    reader = Reader(padded, BAD)
    reader.version()
    type_ = reader.u8()
    require(reader.u16() == 0, BAD, "reserved")
    content_id, sent_ms, prev_sent = reader.b(16), reader.u64(), reader.u32()
    seen = tuple(reader.u32() for _ in range(reader.u8()))
    require(len(seen) in (0, roster), BAD, "seen is empty or as long as the roster")
    data = reader.v32()
    require(padded_len(reader.at) == len(padded), BAD, "padded to more than needed")
    require(not any(reader.rest()), BAD, "padding is not zero")
    if type_ not in PLACES:
        raise Dropped("unknown type")
    require(len(padded) <= MOST.get(type_, MAX_PADDED), BAD, "too long for its type")
    body.check(type_, data, sent_ms)
    classes, own_lane = PLACES[type_]
    if cls not in classes or lane != own_lane:
        raise Dropped("type does not fit class and lane")
    if type_ == SELF_SYNC and body.sync_sub(data) not in SUBS:
        raise Dropped("unknown sub of a self-sync")
    if type_ == 4 and cls != file.class_of(body.file_size(data)):
        raise Dropped("size does not fit class")
    return Content(type_, content_id, sent_ms, prev_sent, seen, data)
