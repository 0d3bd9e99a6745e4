"""The labelled hash, key derivation and signature of CRYPTO 2. No unlabelled one is used anywhere.

Labels are given without their prefix `hw1/`; an unknown one is a mistake of the caller.
"""

import hashlib

from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError

_LABELS = (
    "entry device claim log prekey xwing auth request epoch kc kem wrap mac chain salt msg enc "
    "commit next env tag sn code recovery file frank"
)
LABELS = frozenset(_LABELS.split())


def d(label: str) -> bytes:
    """D(l): the label with its length before it."""
    assert label in LABELS, label
    text = b"hw1/" + label.encode("ascii")
    return bytes([len(text)]) + text


def h(label: str, data: bytes, size: int = 32) -> bytes:
    """H(l, x), of 32 bytes, or H64 with size 64."""
    return hashlib.blake2b(d(label) + data, digest_size=size).digest()


def kdf(key: bytes, label: str, data: bytes = b"", size: int = 32) -> bytes:
    """KDF(k, l, x), of 32 bytes, or KDF16 with size 16. The key has 32 or 64 bytes."""
    assert len(key) in (32, 64)
    return hashlib.blake2b(d(label) + data, key=key, digest_size=size).digest()


def sign(seed: bytes, label: str, data: bytes) -> bytes:
    """Sign(sk, l, x): Ed25519 with the secret key of a 32-byte seed."""
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    signed: bytes = sodium.crypto_sign(d(label) + data, secret)
    return signed[:64]


def raw_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """True if libsodium takes the signature of a message that has no label."""
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        sodium.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def verifies(public: bytes, label: str, data: bytes, signature: bytes) -> bool:
    """True if libsodium takes the signature of a labelled input."""
    return raw_verifies(public, d(label) + data, signature)
