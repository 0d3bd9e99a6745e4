"""One ciphertext that opens under two message keys ("invisible salamander"), for each cipher.

Neither Poly1305 nor GHASH commits to its key: with all blocks but the last chosen freely, the last one
is solved for, so that both keys give one tag. Only hw1's commitment tells the two contents apart.
"""

import hashlib
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from edges import seals

# A text of lane 0, counter 7.
HEADER = bytes([1, 1, 0, 0]) + (7).to_bytes(4, "big") + b"\xe0" * 32 + b"\x5a" * 16
KEYS = [b"\x4d" * 32, b"\x5d" * 32]
BLOCKS = 16
P1305 = 2**130 - 5


def kdf(key, label, data):
    text = b"hw1/" + label
    return hashlib.blake2b(bytes([len(text)]) + text + data, key=key, digest_size=32).digest()


def block(cipher, n):
    return hashlib.blake2b(b"%s %d" % (cipher, n), digest_size=16).digest()


def salsa(key, nonce):
    """The input block and the 20 rounds of Salsa20."""
    constants = struct.unpack("<4I", b"expand 32-byte k")
    words, nonce = struct.unpack("<8I", key), struct.unpack("<4I", nonce)
    start = [constants[0], *words[:4], constants[1], *nonce, constants[2], *words[4:], constants[3]]
    x = list(start)

    def mix(a, b, c, d):
        for to, one, other, by in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            total = (x[one] + x[other]) & 0xFFFFFFFF
            x[to] ^= (total << by | total >> (32 - by)) & 0xFFFFFFFF

    for _ in range(10):
        for column in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)):
            mix(*column)
        for row in ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            mix(*row)
    return start, x


def poly1305_key(key):
    """r and s of secretbox under this key and nonce 0."""
    _, x = salsa(key, bytes(16))
    start, x = salsa(struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10]), bytes(16))
    stream = struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, x)))
    r = int.from_bytes(stream[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return r, int.from_bytes(stream[16:32], "little")


def poly1305(blocks, r):
    h = 0
    for one in blocks:
        h = (h + one) * r % P1305
    return h


def secretbox(keys):
    (r1, s1), (r2, s2) = (poly1305_key(key) for key in keys)
    for attempt in range(1_000):
        blocks = [int.from_bytes(block(b"box %d" % attempt, n), "little") + 2**128 for n in range(BLOCKS - 1)]
        rest = poly1305([*blocks, 0], r2) - poly1305([*blocks, 0], r1)
        # Tags are equal modulo 2^128, the polynomials modulo 2^130 - 5.
        for carry in range(-4, 5):
            last = (s2 - s1 + carry * 2**128 + rest) * pow(r1 - r2, -1, P1305) % P1305
            tags = {(poly1305([*blocks, last], r) + s) % 2**128 for r, s in ((r1, s1), (r2, s2))}
            if 2**128 <= last < 2**129 and len(tags) == 1:
                body = b"".join((one - 2**128).to_bytes(16, "little") for one in [*blocks, last])
                return tags.pop().to_bytes(16, "little") + body
    raise AssertionError("no block solves it")


def multiply(x, y):
    """In GHASH's field, whose bits are reflected."""
    z = 0
    for bit in range(127, -1, -1):
        z ^= y if x >> bit & 1 else 0
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return z


def inverse(x):
    out, power = 1 << 127, 2**128 - 2
    while power:
        out = multiply(out, x) if power & 1 else out
        x, power = multiply(x, x), power >> 1
    return out


def gcm(keys):
    def aes(key, data):
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return int.from_bytes(encryptor.update(data), "big")

    halves = [(aes(key, bytes(16)), aes(key, bytes(15) + b"\1")) for key in keys]
    blocks = [int.from_bytes(block(b"gcm", n), "big") for n in range(BLOCKS - 1)]

    def tag(last, h, mask):
        y = 0
        for one in [*blocks, last, BLOCKS * 128]:
            y = multiply(y ^ one, h)
        return y ^ mask

    squares = multiply(halves[0][0], halves[0][0]) ^ multiply(halves[1][0], halves[1][0])
    last = multiply(tag(0, *halves[0]) ^ tag(0, *halves[1]), inverse(squares))
    tags = {tag(last, *half) for half in halves}
    assert len(tags) == 1, "the last block does not solve it"
    return b"".join(one.to_bytes(16, "big") for one in [*blocks, last, tags.pop()])


def cases():
    out = []
    sealing = [kdf(key, b"enc", b"") for key in KEYS]
    for name, suite, make, opening in (
        ("xsalsa20-poly1305", 1, secretbox, seals.secretbox),
        ("aes-256-gcm", 2, gcm, seals.gcm),
    ):
        sealed = make(sealing)
        opened = [opening(key, sealed) for key in sealing]
        assert None not in opened and opened[0] != opened[1], name
        entry = {"name": name, "suite": suite, "header": HEADER.hex(), "mk": [key.hex() for key in KEYS]}
        out.append(entry | {"sealed": sealed.hex(), "opened": opened})
    return out
