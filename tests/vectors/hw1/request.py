"""The contact request (CRYPTO 9): who asks, for whom, and nothing that a person wrote."""

from hw1.hash import h
from hw1.layout import u8, u64, v8
from hw1.log import Side


def encode(asker: Side, to: bytes, handle: str, nonce: bytes, time_ms: int) -> bytes:
    """`to` is a log id or zeros, `handle` the username that is asked for."""
    return u8(1) + asker.encode() + to + v8(handle.encode()) + nonce + u64(time_ms)


def request_id(data: bytes) -> bytes:
    return h("request", data)
