"""Strings of 32 bytes as Ed25519 keys: what they are, and what libsodium makes of them.

`hw1` says whether a log takes the key: canonical, on the curve, of the prime order.
"""

from nacl import bindings

from . import curve
from .curve import BASE, P, TORSION, add, encode, mul


def convert(key):
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(key).hex()
    except RuntimeError:
        return None


def case(name, key):
    point = curve.decode(key)
    order = None if point is None else curve.order(point)
    canonical = curve.is_canonical(key)
    return {
        "name": name,
        "key": key.hex(),
        "order": order,
        "canonical": canonical,
        "libsodium_point": bindings.crypto_core_ed25519_is_valid_point(key),
        "libsodium_x25519": convert(key),
        "hw1": canonical and order == "L",
    }


def cases():
    out = [case(name, key) for name, key in curve.small_order_encodings()]
    for seed in range(1, 5):
        point = mul(curve.secret(bytes([seed]) * 32)[0], BASE)
        out.append(case(f"honest-{seed}", encode(point)))
        for i in range(1, 8):
            out.append(case(f"mixed-{seed}-{i}", encode(add(point, TORSION[i]))))
    for y in range(2, 19):
        for sign in (0, 1):
            bits = sign << 255
            out.append(case(f"y-{y}-{sign}", (y | bits).to_bytes(32, "little")))
            out.append(case(f"y-{y}-{sign}-unreduced", (y + P | bits).to_bytes(32, "little")))
    # libsodium up to 1.0.20 took this one (and y = 9) for a point of the prime order.
    out.append(case("once-taken", bytes([0x95]) + bytes([0x99]) * 31))
    out.append(case("all-ones", b"\xff" * 32))
    return out
