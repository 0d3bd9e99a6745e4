"""X25519 with keys that are no honest ones: small order, unreduced, on the twist."""

import hashlib

from nacl import bindings, exceptions

P = 2**255 - 19
# u of the points of order 8 on the curve, and 0, 1, -1: orders 4, 4 (twist), 2 and so on (RFC 7748, 6).
EIGHT = [
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]


def byte_string(n):
    return n.to_bytes(32, "little")


def try_or_none(call, *arguments):
    try:
        return call(*arguments).hex()
    except (RuntimeError, exceptions.CryptoError):
        return None


def is_on_curve(u):
    """Else u is an x of the twist."""
    v2 = (u**3 + 486662 * u * u + u) % P
    return v2 == 0 or pow(v2, (P - 1) // 2, P) == 1


def case(name, public, secret):
    return {
        "name": name,
        "public": public.hex(),
        "secret": secret.hex(),
        "on_curve": is_on_curve(int.from_bytes(public, "little") % 2**255 % P),
        "libsodium_scalarmult": try_or_none(bindings.crypto_scalarmult, secret, public),
        "libsodium_beforenm": try_or_none(bindings.crypto_box_beforenm, public, secret),
    }


def cases():
    secrets = {"clamped": bytes([0x48]) * 32, "loose": bytes([0xFF]) * 32, "zero": bytes(32)}
    low = {"0": 0, "1": 1, "p-1": P - 1, "p": P, "p+1": P + 1, "8a": EIGHT[0], "8b": EIGHT[1]}
    odd = {f"p+{i}": P + i for i in range(2, 19)}
    twist = {f"u-{u}": u for u in range(2, 24)}
    out = []
    for group, values in (("low", low), ("unreduced", odd), ("small", twist)):
        for key, u in values.items():
            for high in (0, 1):
                public = byte_string(u | high << 255)
                for which, secret in secrets.items():
                    name = f"{group}-{key}{'-high' if high else ''}-{which}"
                    out.append(case(name, public, secret))
    for i in range(16):
        public = hashlib.sha256(b"public %d" % i).digest()
        out.append(case(f"any-{i}", public, hashlib.sha256(b"secret %d" % i).digest()))
    return out
