"""edwards25519 by its equations alone, slow and plain (RFC 8032, 5.1)."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
ZERO = (0, 1)


def x_of(y, sign):
    """The x of a y with this parity; None if there is none. Lenient: x = 0 takes either sign."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    square = u * pow(v, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return (P - x) % P if x & 1 != sign else x


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P


def neg(p):
    return (P - p[0]) % P, p[1]


def mul(n, p):
    """By doubling, in the coordinates (X, Y, Z, T) that need no division."""
    out, step = (0, 1, 1, 0), (p[0], p[1], 1, p[0] * p[1] % P)
    while n:
        if n & 1:
            out = _add4(out, step)
        step, n = _add4(step, step), n >> 1
    inverse = pow(out[2], P - 2, P)
    return out[0] * inverse % P, out[1] * inverse % P


def _add4(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def encode(p):
    return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")


def decode(b):
    """The point of any encoding, canonical or not; None if there is none."""
    n = int.from_bytes(b, "little")
    y = (n & (1 << 255) - 1) % P
    x = x_of(y, n >> 255)
    return None if x is None else (x, y)


def is_canonical(b):
    p = decode(b)
    return p is not None and encode(p) == b


BASE = (x_of(4 * pow(5, P - 2, P) % P, 0), 4 * pow(5, P - 2, P) % P)


def _generator_of_torsion():
    y = 2
    while True:
        x = x_of(y, 0)
        if x is not None:
            p = mul(L, (x, y))
            if mul(4, p) != ZERO:
                return p
        y += 1


TORSION = [mul(i, _generator_of_torsion()) for i in range(8)]


def order(p):
    """The order's name: 1, 2, 4, 8, L, or L times one of them."""
    small = next(n for n in (1, 2, 4, 8) if mul(n, mul(L, p)) == ZERO)
    if mul(8, p) == ZERO:
        return str(small)
    return "L" if small == 1 else f"{small}L"


def small_order_encodings():
    """Every string of 32 bytes that a lenient decoder takes for a point of small order."""
    found = []
    for i, p in enumerate(TORSION):
        signs = (p[0] & 1,) if p[0] else (0, 1)
        for sign in signs:
            for y in (p[1], p[1] + P):
                if y < 1 << 255:
                    name = f"torsion-{i}"
                    name += "" if y < P else "-unreduced"
                    name += "" if sign == p[0] & 1 else "-sign"
                    found.append((name, (y | sign << 255).to_bytes(32, "little")))
    return found


def secret(seed):
    """RFC 8032: the scalar and the prefix."""
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little")
    return a & (1 << 254) - 8 | 1 << 254, h[32:]


def challenge(r, a, message):
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def scalar(n):
    return n.to_bytes(32, "little")
