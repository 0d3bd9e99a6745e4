"""Ed25519 and X25519 keys, and what turns one into the other (CRYPTO 1).

A key exchange is `crypto_box_beforenm`: X25519, then HSalsa20. It refuses an all-zero output.
"""

import hashlib

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from hw1.hash import h


def public_of_seed(seed: bytes) -> bytes:
    """The Ed25519 public key of a 32-byte seed."""
    public: bytes = sodium.crypto_sign_seed_keypair(seed)[0]
    return public


def is_identity_key(key: bytes) -> bool:
    """Canonical, on the curve, of the main subgroup, not of small order: X() is defined."""
    return len(key) == 32 and bool(sodium.crypto_core_ed25519_is_valid_point(key))


def x_public(key: bytes) -> bytes:
    """X(ik): the X25519 public key of an Ed25519 public key."""
    converted: bytes = sodium.crypto_sign_ed25519_pk_to_curve25519(key)
    return converted


def x_secret(seed: bytes) -> bytes:
    """The X25519 secret key of an Ed25519 seed."""
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    converted: bytes = sodium.crypto_sign_ed25519_sk_to_curve25519(secret)
    return converted


def x_base(secret: bytes) -> bytes:
    """The X25519 public key of a secret key."""
    public: bytes = sodium.crypto_scalarmult_base(secret)
    return public


def box_secret_of_seed(seed: bytes) -> bytes:
    """The secret key of `crypto_box_seed_keypair`."""
    return hashlib.sha512(seed).digest()[:32]


def exchange(public: bytes, secret: bytes) -> bytes:
    """`crypto_box_beforenm`, of 32 bytes. Raises CryptoError on a public key of small order."""
    shared: bytes = sodium.crypto_box_beforenm(public, secret)
    return shared


def is_exchange_key(public: bytes) -> bool:
    """False for X25519 keys of small order."""
    try:
        exchange(public, bytes(32))
    except CryptoError:
        return False
    return True


def device_id(key: bytes) -> bytes:
    """The 16-byte id of a device or a recovery key."""
    return h("device", key)[:16]
