"""The message (CRYPTO 6): header, keys, seal, tags, and what is uploaded and delivered.

It works on one chain key at a time; which one, is `chain`.
"""

from dataclasses import dataclass

from hw1 import suite
from hw1.hash import h, kdf
from hw1.layout import Reader, u8, u32, v32
from hw1.refused import MALFORMED, require

HEADER = 56
MAX_PADDED = 65_536
# The pairs of class and lane that CRYPTO 7 names; no other is parsed.
PAIRS = frozenset([*((cls, 0) for cls in (1, 2, 3, 4, 5, 6, 17, 18)), (16, 1), (17, 1)])


@dataclass(frozen=True)
class Header:
    cls: int
    sender: int
    lane: int
    counter: int
    epoch_id: bytes
    salt: bytes

    def encode(self) -> bytes:
        start = u8(1) + u8(self.cls) + u8(self.sender) + u8(self.lane)
        return start + u32(self.counter) + self.epoch_id + self.salt


def parse_header(data: bytes) -> Header:
    require(len(data) == HEADER, MALFORMED, "a header has 56 bytes")
    reader = Reader(data)
    reader.version()
    header = Header(reader.u8(), reader.u8(), reader.u8(), reader.u32(), reader.b(32), reader.b(16))
    require((header.cls, header.lane) in PAIRS, MALFORMED, "class and lane")
    return header


def message_key(sk: bytes, header: bytes) -> bytes:
    """MK of SK_c."""
    return kdf(sk, "msg", header)


def commitment(mk: bytes, header: bytes) -> bytes:
    return kdf(mk, "commit", header)


def envelope(header: bytes, commit: bytes, ct: bytes) -> bytes:
    return h("env", header + commit + v32(ct))


def tag(tag_key: bytes, env: bytes) -> bytes:
    return kdf(tag_key, "tag", env, 16)


@dataclass(frozen=True)
class Sealed:
    """A message before its tags, with the values on the way to it."""

    header: bytes
    sk: bytes
    mk: bytes
    commit: bytes
    ct: bytes
    env: bytes


def salt(ck: bytes, rnd16: bytes, padded: bytes) -> bytes:
    return kdf(ck, "salt", rnd16 + padded, 16)


def seal(chosen: int, ck: bytes, header: Header, padded: bytes) -> Sealed:
    """The header already has its salt."""
    data, sk = header.encode(), kdf(ck, "msg")
    mk = message_key(sk, data)
    commit = commitment(mk, data)
    ct = suite.seal(chosen, kdf(mk, "enc"), padded)
    return Sealed(data, sk, mk, commit, ct, envelope(data, commit, ct))


def upload(sealed: Sealed, tags: list[bytes]) -> bytes:
    return sealed.header + sealed.commit + v32(sealed.ct) + u8(len(tags)) + b"".join(tags)


def delivery(header: bytes, commit: bytes, ct: bytes, own_tag: bytes) -> bytes:
    """What reaches one device."""
    return header + commit + v32(ct) + own_tag


@dataclass(frozen=True)
class Delivered:
    header: Header
    raw: bytes
    commit: bytes
    ct: bytes
    tag: bytes


def parse_delivery(data: bytes) -> Delivered:
    reader = Reader(data)
    raw = reader.b(HEADER)
    header = parse_header(raw)
    commit, ct, own_tag = reader.b(32), reader.v32(), reader.b(16)
    reader.end()
    require(is_padded_len(len(ct) - suite.OVERHEAD), MALFORMED, "size of the ciphertext")
    return Delivered(header, raw, commit, ct, own_tag)


def is_padded_len(size: int) -> bool:
    """256, 512, 1024, ... 65,536."""
    return 256 <= size <= MAX_PADDED and size & (size - 1) == 0


def open_(chosen: int, sk: bytes, message: Delivered) -> bytes:
    """The padded content. Refuses with BAD_COMMIT or BAD_AEAD."""
    mk = message_key(sk, message.raw)
    require(commitment(mk, message.raw) == message.commit, "BAD_COMMIT", "commitment")
    padded = suite.unseal(chosen, kdf(mk, "enc"), message.ct)
    require(padded is not None, "BAD_AEAD", "does not open")
    assert padded is not None
    return padded
