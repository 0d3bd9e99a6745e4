"""Ed25519 signatures that verifiers have disagreed about."""

import hashlib

from nacl import bindings, exceptions

from . import curve
from .curve import BASE, L, TORSION, ZERO, add, challenge, encode, mul, scalar

# What is signed begins with a label of hw1, D(hw1/log), so that its own verifier can be asked.
LABEL = b"\x07hw1/log"
EDGE = LABEL + b"edge"
SEED = bytes([1]) * 32
SECRET, PREFIX = curve.secret(SEED)
PUBLIC = encode(mul(SECRET, BASE))


def sodium(public, message, signature):
    try:
        bindings.crypto_sign_open(signature + message, public)
        return True
    except exceptions.BadSignatureError:
        return False


def equation(public, message, signature):
    """Which equation holds when every encoding is taken leniently: plain, cofactored, or none."""
    a, r = curve.decode(public), curve.decode(signature[:32])
    if a is None or r is None:
        return "none"
    s = int.from_bytes(signature[32:], "little") % L
    k = challenge(signature[:32], public, message)
    rest = add(mul(s, BASE), curve.neg(add(r, mul(k, a))))
    if rest == ZERO:
        return "plain"
    return "cofactored" if mul(8, rest) == ZERO else "none"


def nonce(text):
    return int.from_bytes(hashlib.sha512(PREFIX + text).digest(), "little") % L


def find(wanted):
    """The first message m0, m1, ... that a condition holds for, or None: it depends on k mod 8."""
    return next((m for m in (LABEL + b"m%d" % i for i in range(100)) if wanted(m)), None)


class Cases(list):
    def case(self, name, public, message, signature):
        self.append(
            {
                "name": name,
                "public": public.hex(),
                "message": message.hex(),
                "signature": signature.hex(),
                "equation": equation(public, message, signature),
                "libsodium": sodium(public, message, signature),
            }
        )


def honest(message, r_torsion=ZERO, a_torsion=ZERO, tweak=0):
    """A signature by the formula, with torsion added to R and A."""
    r = nonce(message)
    big_r = encode(add(mul(r, BASE), r_torsion))
    public = encode(add(mul(SECRET, BASE), a_torsion))
    s = (r + challenge(big_r, public, message) * SECRET + tweak) % L
    return public, message, big_r + scalar(s)


def good_and_damaged(out):
    for text in (b"", b"x", b"edge", bytes(range(200))):
        message = LABEL + text
        _, secret_key = bindings.crypto_sign_seed_keypair(SEED)
        signature = bindings.crypto_sign(message, secret_key)[:64]
        assert honest(message) == (PUBLIC, message, signature)
        out.case(f"good-{len(text)}", PUBLIC, message, signature)
        for at in (0, 31, 32, 63):
            broken = bytearray(signature)
            broken[at] ^= 1
            out.case(f"flipped-{len(text)}-{at}", PUBLIC, message, bytes(broken))
        out.case(f"other-message-{len(text)}", PUBLIC, message + b"!", signature)
    other = encode(mul(curve.secret(bytes([2]) * 32)[0], BASE))
    public, message, signature = honest(EDGE)
    out.case("other-key", other, message, signature)


def scalars(out):
    public, message, signature = honest(EDGE)
    s = int.from_bytes(signature[32:], "little")
    for i in range(1, 16):
        out.case(f"s-plus-{i}L", public, message, signature[:32] + scalar(s + i * L))
    for bit in (252, 253, 254, 255):
        out.case(f"s-bit-{bit}", public, message, signature[:32] + scalar(s | 1 << bit))
    out.case("s-negated", public, message, signature[:32] + scalar(L - s))
    out.case("s-zero", public, message, signature[:32] + scalar(0))
    out.case("s-L", public, message, signature[:32] + scalar(L))
    out.case("s-L-minus-1", public, message, signature[:32] + scalar(L - 1))
    out.case("s-all-ones", public, message, signature[:32] + b"\xff" * 32)
    out.case("all-zero", public, message, bytes(64))
    out.case("all-zero-key-and-signature", bytes(32), message, bytes(64))
    out.case("all-ones", public, message, b"\xff" * 64)
    # S = 0 and R = -kA would need a fixed point; S = k * a with R the neutral element needs none.
    k = challenge(encode(ZERO), public, message)
    out.case("r-neutral-s-ka", public, message, encode(ZERO) + scalar(k * SECRET % L))


def small_order_keys(out):
    for name, public in curve.small_order_encodings():
        point = curve.decode(public)
        r = nonce(public)
        big_r = encode(mul(r, BASE))
        for kind, zero in (("plain", True), ("cofactored", False)):

            def wanted(m, zero=zero):
                return (mul(challenge(big_r, public, m) % 8, point) == ZERO) == zero

            message = find(wanted)
            if message is not None:
                out.case(f"a-{name}-{kind}", public, message, big_r + scalar(r))
        # Small order on both sides, and S = 0: valid for anybody's message, by the plain equation.
        for r_name, small_r in curve.small_order_encodings():

            def both(m):
                k = challenge(small_r, public, m) % 8
                return add(curve.decode(small_r), mul(k, point)) == ZERO

            message = find(both)
            if message is not None:
                out.case(f"a-{name}-r-{r_name}", public, message, small_r + scalar(0))


def small_order_r(out):
    for name, small_r in curve.small_order_encodings():
        k = challenge(small_r, PUBLIC, EDGE)
        out.case(f"r-{name}", PUBLIC, EDGE, small_r + scalar(k * SECRET % L))


def mixed_order(out):
    for i in range(1, 8):
        out.case(f"r-mixed-{i}", *honest(EDGE, r_torsion=TORSION[i]))
        for kind, zero in (("plain", True), ("cofactored", False)):

            def wanted(m, zero=zero):
                public, _, signature = honest(m, a_torsion=TORSION[i])
                k = challenge(signature[:32], public, m) % 8
                return (mul(k, TORSION[i]) == ZERO) == zero

            out.case(f"a-mixed-{i}-{kind}", *honest(find(wanted), a_torsion=TORSION[i]))
        for j in range(1, 8):
            if all(add(TORSION[j], mul(k, TORSION[i])) != ZERO for k in range(8)):
                continue

            def cancels(m):
                public, _, signature = honest(m, r_torsion=TORSION[j], a_torsion=TORSION[i])
                k = challenge(signature[:32], public, m) % 8
                return add(TORSION[j], mul(k, TORSION[i])) == ZERO

            message = find(cancels)
            if message is not None:
                mixed = honest(message, r_torsion=TORSION[j], a_torsion=TORSION[i])
                out.case(f"a-mixed-{i}-r-mixed-{j}", *mixed)


def encodings(out):
    """Unreduced y and y without an x, in the place of A and of R."""
    public, message, signature = honest(EDGE)
    for y in range(19):
        for sign in (0, 1):
            unreduced = (y + curve.P | sign << 255).to_bytes(32, "little")
            out.case(f"a-unreduced-{y}-{sign}", unreduced, message, signature)
            out.case(f"r-unreduced-{y}-{sign}", public, message, unreduced + signature[32:])
    off = [y for y in range(2, 40) if curve.x_of(y, 0) is None][:4]
    for y in off:
        no_point = y.to_bytes(32, "little")
        out.case(f"a-no-point-{y}", no_point, message, signature)
        out.case(f"r-no-point-{y}", public, message, no_point + signature[32:])


def cases():
    out = Cases()
    good_and_damaged(out)
    scalars(out)
    small_order_keys(out)
    small_order_r(out)
    mixed_order(out)
    encodings(out)
    return out
