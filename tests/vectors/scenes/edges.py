"""Keys and signatures at the edges, with libsodium's verdict. Every implementation must give the same."""

from nacl import bindings as sodium

from formats.edges import EXCHANGES, IDENTITY_KEYS, SIGNATURES
from formats.shape import Case
from hw1 import keys
from scenes.forgery import NEUTRAL, ORDER, PRIME, TORSION, forge, forge_small, forge_where, little, unreduced
from scenes.tape import Tape

OTHER_TORSION = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
# The u coordinates of order 8.
EIGHTH = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
OTHER_EIGHTH = "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"


def _negative(point: bytes) -> bytes:
    """The encoding with the other top bit."""
    return point[:31] + bytes([point[31] ^ 0x80])


def small_order() -> dict[str, bytes]:
    """The points of small order, and other encodings of them."""
    known = {
        "neutral": NEUTRAL,
        "order 2": little(PRIME - 1),
        "order 4": bytes(32),
        "order 8": TORSION,
        "order 8, the other": bytes.fromhex(OTHER_TORSION),
        "order 4 as p": little(PRIME),
        "neutral as p + 1": little(PRIME + 1),
    }
    return {**known, **{f"{name}, sign bit": _negative(point) for name, point in known.items()}}


def signatures(tape: Tape) -> list[Case]:
    cases: list[Case] = []
    seed, message = tape.b(32), tape.b(40)
    public, nonce = keys.public_of_seed(seed), 1 + tape.below(2**60)

    def judge(name: str, valid: bool, key: bytes, signature: bytes, text: bytes = message) -> None:
        given = {"public": key.hex(), "message": text.hex(), "signature": signature.hex()}
        cases.append(SIGNATURES.complete({"name": name, **given}))
        assert cases[-1]["valid"] is valid, name

    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    good = sodium.crypto_sign(message, secret)[:64]
    judge("good", True, public, good)
    judge("good, of nothing", True, public, sodium.crypto_sign(b"", secret)[:64], b"")
    judge("another nonce", True, public, forge(seed, public, message, nonce)[0])
    judge("another message", False, public, good, message + b"\0")
    judge("S + L", False, public, unreduced(good))
    judge("S = L", False, public, good[:32] + little(ORDER))
    judge("S of all ones", False, public, good[:32] + b"\xff" * 32)
    judge("S = 0", False, public, good[:32] + bytes(32))
    judge("sign bit of R", False, public, _negative(good[:32]) + good[32:])
    judge("sign bit of the key", False, _negative(public), good)
    for name, point in small_order().items():
        judge(f"key: {name}; R neutral, S = 0", False, point, NEUTRAL + bytes(32))
        judge(f"R: {name}", False, public, forge_small(seed, public, message, point))
    judge(
        "R with torsion: with cofactor only", False, public, forge(seed, public, message, nonce, TORSION)[0]
    )
    mixed = sodium.crypto_core_ed25519_add(public, TORSION)
    for multiple, what in ((True, "vanishes"), (False, "stays")):
        signature = forge_where(seed, mixed, message, nonce, multiple_of_8=multiple)
        judge(f"key of mixed order, torsion {what}", multiple, mixed, signature)
    judge("key that is no point", False, little(2), good)
    return cases


def identity_keys(tape: Tape) -> list[Case]:
    """Which 32 bytes may be an identity key, and what X25519 key follows."""
    given = {f"drawn {number}": keys.public_of_seed(tape.b(32)) for number in range(4)}
    given |= small_order()
    given |= {f"p + {more}": little(PRIME + more) for more in range(2, 19)}
    given["mixed order"] = sodium.crypto_core_ed25519_add(given["drawn 0"], TORSION)
    given |= {f"y = {y}": little(y) for y in range(2, 12)}
    return [IDENTITY_KEYS.complete({"name": name, "key": key.hex()}) for name, key in given.items()]


def exchanges(tape: Tape) -> list[Case]:
    """Key exchanges with points of small order (refused), other encodings, secrets that are not clamped."""
    public = keys.x_base(tape.b(32))
    given = {
        "drawn 1": (public, tape.b(32)),
        "drawn 2": (keys.x_base(tape.b(32)), tape.b(32)),
        "top bit set": (_negative(public), tape.b(32)),
        "secret of zeros": (public, bytes(32)),
        "secret of ones": (public, b"\xff" * 32),
        "u = p + 9": (little(PRIME + 9), tape.b(32)),
        "u = 2": (little(2), tape.b(32)),
    }
    small = {
        "u = 0": bytes(32),
        "u = 1": little(1),
        "u = p - 1": little(PRIME - 1),
        "u = p": little(PRIME),
        "u = p + 1": little(PRIME + 1),
        "order 8": bytes.fromhex(EIGHTH),
        "order 8, the other": bytes.fromhex(OTHER_EIGHTH),
    }
    refused = {**small, **{f"{name}, top bit": _negative(point) for name, point in small.items()}}
    given |= {name: (point, tape.b(32)) for name, point in refused.items()}
    cases = []
    for name, (point, secret) in given.items():
        cases.append(EXCHANGES.complete({"name": name, "public": point.hex(), "secret": secret.hex()}))
        assert (cases[-1]["shared"] is None) is (name in refused), name
    return cases
