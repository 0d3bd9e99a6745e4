"""X-Wing (draft-connolly-cfrg-xwing-kem 06 and later): ML-KEM-768 and X25519, joined by SHA3-256.

Deterministic: keys come from a 32-byte seed, an encapsulation from 64 bytes.
"""

import hashlib
from functools import lru_cache

from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl import bindings as sodium

from hw1.keys import is_exchange_key
from hw1.refused import MALFORMED, Refused

PUBLIC = 1216
SEALED = 1120
LABEL = b"\\.//^\\"


def _x25519(secret: bytes, public: bytes) -> bytes:
    """Raw X25519. Raises CryptoError where the output would be zero, as libsodium's X-Wing does."""
    shared: bytes = sodium.crypto_scalarmult(secret, public)
    return shared


def _combine(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + LABEL).digest()


@lru_cache(maxsize=256)
def _expand(seed: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """(pk_m, sk_m, pk_x, sk_x) of a seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    pk_m, sk_m = ML_KEM_768._keygen_internal(expanded[:32], expanded[32:64])
    sk_x = expanded[64:]
    return pk_m, sk_m, sodium.crypto_scalarmult_base(sk_x), sk_x


def public_of_seed(seed: bytes) -> bytes:
    """The 1,216-byte public key of a 32-byte seed."""
    pk_m, _, pk_x, _ = _expand(seed)
    return pk_m + pk_x


def is_sealable(public: bytes) -> bool:
    """The ML-KEM coefficients, 12 bits each, are reduced, and the X25519 part is not of small order."""
    bits = int.from_bytes(public[:1152], "little")
    reduced = all((bits >> 12 * i) & 0xFFF < 3329 for i in range(768))
    return reduced and is_exchange_key(public[1184:])


@lru_cache(maxsize=256)
def encapsulate(public: bytes, eseed: bytes) -> tuple[bytes, bytes]:
    """(ct of 1,120 bytes, ss of 32 bytes) from 64 bytes."""
    pk_m, pk_x = public[:1184], public[1184:]
    ss_m, ct_m = ML_KEM_768._encaps_internal(pk_m, eseed[:32])
    ct_x = sodium.crypto_scalarmult_base(eseed[32:])
    ss_x = _x25519(eseed[32:], pk_x)
    return ct_m + ct_x, _combine(ss_m, ss_x, ct_x, pk_x)


def ml_kem_secret(seed: bytes, ct_m: bytes) -> bytes:
    """The half of ML-KEM-768."""
    shared: bytes = ML_KEM_768.decaps(_expand(seed)[1], ct_m)
    return shared


@lru_cache(maxsize=1024)
def decapsulate(seed: bytes, ct: bytes) -> bytes:
    """The 32 bytes that were encapsulated. A forged ct of the right length gives other bytes, or
    raises CryptoError if its X25519 part is of small order."""
    if len(ct) != SEALED:
        raise Refused(MALFORMED, "an X-Wing ciphertext has 1,120 bytes")
    _, _, pk_x, sk_x = _expand(seed)
    ct_m, ct_x = ct[:1088], ct[1088:]
    return _combine(ml_kem_secret(seed, ct_m), _x25519(sk_x, ct_x), ct_x, pk_x)
