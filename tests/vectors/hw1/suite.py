"""The three suites (CRYPTO 1): which AEAD, which is best. Keys are used once, nonces are zero."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

SUITES = (1, 2, 3)
ORDER = (3, 1, 2)
OVERHEAD = 16


def bit(suite: int) -> int:
    """The suite's bit in a mask."""
    return 1 << (suite - 1)


def best_common(masks: list[int]) -> int:
    """The best suite that all masks have, or 0. Unknown bits are never chosen."""
    for suite in ORDER:
        if all(mask & bit(suite) for mask in masks):
            return suite
    return 0


def seal(suite: int, key: bytes, plain: bytes) -> bytes:
    """AEAD(key, plain): 16 bytes longer than `plain`."""
    if suite == 2:
        return AESGCM(key).encrypt(bytes(12), plain, None)
    sealed: bytes = sodium.crypto_secretbox_easy(plain, bytes(24), key)
    return sealed


def unseal(suite: int, key: bytes, sealed: bytes) -> bytes | None:
    """The plain bytes, or None if the key or a bit is wrong."""
    if len(sealed) < OVERHEAD:
        return None
    try:
        if suite == 2:
            return AESGCM(key).decrypt(bytes(12), sealed, None)
        plain: bytes = sodium.crypto_secretbox_open_easy(sealed, bytes(24), key)
    except (InvalidTag, CryptoError):
        return None
    return plain
