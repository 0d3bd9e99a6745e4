"""File encryption (CRYPTO 7): PADME, and secretstream in chunks of 65,536 bytes.

The stream's header is handed in. libsodium draws it in `init_push`; the state is the same as the one
that `init_pull` makes from it, so a writer may start there.
"""

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from hw1.hash import h
from hw1.refused import Refused, require

CHUNK = 65_536
OVERHEAD = 17
MIB = 1 << 20
MAX_SIZE = 100 * MIB
MESSAGE = 0
FINAL = 3
BAD = "BAD_CONTENT"


def padme(size: int) -> int:
    """The padded size: the last bits of the size that PADME does not keep are rounded up."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    dropped = exponent - exponent.bit_length()
    mask = (1 << dropped) - 1
    return (size + mask) & ~mask


def chunks(size: int) -> int:
    """How many chunks a padded size has; an empty file has one."""
    return max(1, -(-size // CHUNK))


def ct_size(size: int) -> int:
    """The size of the ciphertext of a file of `size` bytes."""
    padded = padme(size)
    return padded + OVERHEAD * chunks(padded)


def class_of(size: int) -> int:
    """The class of a file: small, medium or large."""
    if size <= MIB:
        return 4
    return 5 if size <= 16 * MIB else 6


def ct_hash(header: bytes, ct: bytes) -> bytes:
    return h("file", header + ct)


def _state(key: bytes, header: bytes) -> sodium.crypto_secretstream_xchacha20poly1305_state:
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    return state


def seal(key: bytes, header: bytes, content_id: bytes, plain: bytes) -> bytes:
    padded = plain.ljust(padme(len(plain)), b"\0")
    state, count, ct = _state(key, header), chunks(len(padded)), b""
    for index in range(count):
        chunk = padded[index * CHUNK : (index + 1) * CHUNK]
        tag = FINAL if index == count - 1 else MESSAGE
        ct += sodium.crypto_secretstream_xchacha20poly1305_push(state, chunk, content_id, tag)
    return ct


def open_(
    key: bytes, header: bytes, content_id: bytes, size: int, named: tuple[int, bytes], ct: bytes
) -> bytes:
    """The file. `named` is the size and hash of the ciphertext that the content names."""
    require(size <= MAX_SIZE, BAD, "too large")
    require(named[0] == len(ct) == ct_size(size), BAD, "size")
    require(ct_hash(header, ct) == named[1], BAD, "hash")
    state, plain = _state(key, header), b""
    for at in range(0, len(ct), CHUNK + OVERHEAD):
        last = at + CHUNK + OVERHEAD >= len(ct)
        try:
            chunk, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(
                state, ct[at : at + CHUNK + OVERHEAD], content_id
            )
        except CryptoError as wrong:
            raise Refused(BAD, "does not open") from wrong
        require(tag == (FINAL if last else MESSAGE), BAD, "FINAL is on the last chunk only")
        plain += chunk
    require(not any(plain[size:]), BAD, "padding is not zero")
    return plain[:size]
