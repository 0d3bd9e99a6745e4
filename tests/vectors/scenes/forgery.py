"""Ed25519 signatures that a laxer or a stricter verifier than libsodium would judge otherwise."""

import hashlib

from nacl import bindings as sodium

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
NEUTRAL = b"\x01" + bytes(31)
# A point of order 8.
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def secret_scalar(seed: bytes) -> int:
    """The secret scalar of an Ed25519 seed."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def little(value: int) -> bytes:
    return value.to_bytes(32, "little")


def answer(seed: bytes, point: bytes, public: bytes, message: bytes, nonce: int) -> tuple[bytes, int]:
    """(S for an R of nonce * B, challenge)."""
    challenge = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little") % ORDER
    return little((nonce + challenge * secret_scalar(seed)) % ORDER), challenge


def forge(
    seed: bytes, public: bytes, message: bytes, nonce: int, shift: bytes = NEUTRAL
) -> tuple[bytes, int]:
    """(signature, challenge): R = nonce * B + shift, S as if there were no shift."""
    point: bytes = sodium.crypto_scalarmult_ed25519_base_noclamp(little(nonce))
    if shift != NEUTRAL:
        point = sodium.crypto_core_ed25519_add(point, shift)
    scalar, challenge = answer(seed, point, public, message, nonce)
    return point + scalar, challenge


def forge_small(seed: bytes, public: bytes, message: bytes, point: bytes) -> bytes:
    """R is a point of small order, S fits it."""
    return point + answer(seed, point, public, message, 0)[0]


def forge_where(seed: bytes, public: bytes, message: bytes, nonce: int, *, multiple_of_8: bool) -> bytes:
    """The challenge is, or is not, a multiple of 8: torsion in the key does, or does not, vanish."""
    while True:
        signature, challenge = forge(seed, public, message, nonce)
        if (challenge % 8 == 0) is multiple_of_8:
            return signature
        nonce += 1


def unreduced(signature: bytes) -> bytes:
    """The same signature with S + L."""
    return signature[:32] + little(int.from_bytes(signature[32:], "little") + ORDER)
