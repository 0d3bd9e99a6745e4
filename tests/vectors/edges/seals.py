"""Single-use sealing as hw1 does it (nonce zero, no additional data), and every way to break it."""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl import bindings, exceptions


def secretbox(key, sealed):
    try:
        return bindings.crypto_secretbox_open(sealed, bytes(24), key).hex()
    except (exceptions.CryptoError, ValueError):
        return None


def gcm(key, sealed):
    try:
        opened = AESGCM(key).decrypt(bytes(12), sealed, None).hex()
    except InvalidTag:
        opened = None
    try:
        other = bindings.crypto_aead_aes256gcm_decrypt(sealed, None, bytes(12), key).hex()
    except (exceptions.CryptoError, ValueError):
        other = None
    assert opened == other, "OpenSSL and libsodium differ"
    return opened


def cases():
    out = []

    def case(name, suite, key, sealed):
        opened = (secretbox if suite == 1 else gcm)(key, sealed)
        entry = {"name": name, "suite": suite, "key": key.hex(), "sealed": sealed.hex()}
        out.append(entry | {"opened": opened})

    for suite in (1, 2):
        for size in (0, 1, 15, 16, 17, 32, 63, 64, 65, 256):
            key = hashlib.sha256(b"key %d" % size).digest()
            text = hashlib.shake_128(b"text %d" % size).digest(size)
            if suite == 1:
                sealed = bindings.crypto_secretbox(text, bytes(24), key)
            else:
                sealed = AESGCM(key).encrypt(bytes(12), text, None)
            name = f"suite-{suite}-{size}"
            case(name, suite, key, sealed)
            places = {0, 1, 15, len(sealed) // 2, len(sealed) - 16, len(sealed) - 1}
            for at in sorted(place for place in places if 0 <= place < len(sealed)):
                broken = bytearray(sealed)
                broken[at] ^= 0x80
                case(f"{name}-flipped-{at}", suite, key, bytes(broken))
            case(f"{name}-shorter", suite, key, sealed[:-1])
            case(f"{name}-longer", suite, key, sealed + b"\0")
            case(f"{name}-other-key", suite, bytes(32), sealed)
    # "The Galois/Counter Mode of Operation" (McGrew and Viega), test cases 13 and 14.
    case("gcm-13", 2, bytes(32), bytes.fromhex("530f8afbc74536b9a963b4f1c4cb738b"))
    ct = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18")
    case("gcm-14", 2, bytes(32), ct + bytes.fromhex("d0d1c8a799996bf0265b98b5d48ab919"))
    return out
