"""The epoch (CRYPTO 5): its header, its wraps, and the chains and tag keys that follow from K.

It makes and opens what it is told to; whether an epoch may be used is `acceptance`.
"""

from dataclasses import dataclass

from nacl.exceptions import CryptoError

from hw1 import keys, suite, xwing
from hw1.hash import h, kdf
from hw1.layout import Reader, u8, u32, u64
from hw1.log import NOBODY, Side
from hw1.prekey import Prekey
from hw1.refused import MALFORMED, Refused, require

MAX_ROSTER = 16
LANES = (0, 1)


@dataclass(frozen=True)
class Place:
    """One device in a roster. `prekey_id` 0: stale, gets no wrap."""

    side: int
    device_id: bytes
    prekey_id: int


@dataclass(frozen=True)
class Header:
    """217 + 21 * count bytes."""

    suite: int
    n: int
    prev: bytes
    created_ms: int
    creator: int
    reason: int
    a: Side
    b: Side
    kc: bytes
    roster: tuple[Place, ...]

    def encode(self) -> bytes:
        start = u8(1) + u8(self.suite) + u32(self.n) + self.prev + u64(self.created_ms)
        start += u8(self.creator) + u8(self.reason) + self.a.encode() + self.b.encode()
        places = [u8(p.side) + p.device_id + u32(p.prekey_id) for p in self.roster]
        return start + self.kc + u8(len(places)) + b"".join(places)

    @property
    def is_self_pair(self) -> bool:
        return self.b == NOBODY

    @property
    def creator_device(self) -> bytes:
        return self.roster[self.creator].device_id

    def wrapped(self) -> list[bytes]:
        """The devices with a prekey, in roster order; the creator is one of them."""
        return [place.device_id for place in self.roster if place.prekey_id]

    def index(self, device_id: bytes) -> int | None:
        for index, place in enumerate(self.roster):
            if place.device_id == device_id:
                return index
        return None


def parse(data: bytes) -> Header:
    """Refuses what does not have the layout, an unknown version, suite, reason or side."""
    reader = Reader(data)
    reader.version()
    chosen = reader.u8()
    require(chosen in suite.SUITES, MALFORMED, "unknown suite")
    n, prev, created_ms, creator, reason = (
        reader.u32(),
        reader.b(32),
        reader.u64(),
        reader.u8(),
        reader.u8(),
    )
    require(reason <= 4, MALFORMED, "unknown reason")
    a, b = (Side(reader.b(32), reader.u32(), reader.b(32)) for _ in range(2))
    kc, count = reader.b(32), reader.u8()
    require(1 <= count <= MAX_ROSTER, MALFORMED, "1 to 16 devices")
    places = []
    for _ in range(count):
        place = Place(reader.u8(), reader.b(16), reader.u32())
        require(place.side <= 1, MALFORMED, "side")
        places.append(place)
    reader.end()
    require(creator < count, MALFORMED, "creator is not in the roster")
    return Header(chosen, n, prev, created_ms, creator, reason, a, b, kc, tuple(places))


def epoch_id(header: bytes) -> bytes:
    return h("epoch", header)


@dataclass(frozen=True)
class Sealed:
    """A wrap, with the values on the way to it."""

    device_id: bytes
    ss: bytes
    as_: bytes
    wk: bytes
    wrap: bytes


def tape_size(chosen: int, wraps: int) -> int:
    """How many random bytes the making of an epoch draws."""
    return 32 + wraps * (64 if chosen == 3 else 32)


def wrap_key(
    ss: bytes, as_: bytes, epoch: bytes, creator: bytes, to: bytes, prekey_id: int, pk: bytes, ct: bytes
) -> bytes:
    bound = epoch + creator + to + u32(prekey_id) + h("kem", pk + ct)
    return kdf(ss + as_, "wrap", bound)


def seal_wrap(
    header: Header, key: bytes, creator_seed: bytes, prekey: Prekey, xwing_key: bytes | None, draw: bytes
) -> Sealed:
    """K for one device. `draw` has 32 bytes, or 64 in suite 3."""
    if header.suite == 3:
        assert xwing_key is not None
        pk = xwing_key
        ct, ss = xwing.encapsulate(pk, draw)
    else:
        pk, secret = prekey.x25519, keys.box_secret_of_seed(draw)
        ct, ss = keys.x_base(secret), keys.exchange(prekey.x25519, secret)
    as_ = keys.exchange(prekey.x25519, keys.x_secret(creator_seed))
    epoch, creator = epoch_id(header.encode()), header.creator_device
    wk = wrap_key(ss, as_, epoch, creator, prekey.device_id, prekey.id, pk, ct)
    return Sealed(prekey.device_id, ss, as_, wk, ct + suite.seal(header.suite, wk, key))


@dataclass(frozen=True)
class PrekeySecret:
    """What a device holds of its own prekey."""

    id: int
    x25519: bytes
    xwing_seed: bytes | None


def open_wrap(header: Header, creator_ik: bytes, me: bytes, mine: PrekeySecret, wrap: bytes) -> bytes:
    """K. Refuses with WRAP_INVALID, or KC_MISMATCH if it is not the K of the header (E9)."""
    size = (xwing.SEALED if header.suite == 3 else 32) + 48
    require(len(wrap) == size, "WRAP_INVALID", "size")
    ct, sealed = wrap[:-48], wrap[-48:]
    try:
        if header.suite == 3:
            if mine.xwing_seed is None:
                raise Refused("WRAP_INVALID", "no X-Wing key")
            pk, ss = xwing.public_of_seed(mine.xwing_seed), xwing.decapsulate(mine.xwing_seed, ct)
        else:
            pk, ss = keys.x_base(mine.x25519), keys.exchange(ct, mine.x25519)
        as_ = keys.exchange(keys.x_public(creator_ik), mine.x25519)
    except CryptoError as wrong:
        raise Refused("WRAP_INVALID", "key exchange") from wrong
    epoch, creator = epoch_id(header.encode()), header.creator_device
    wk = wrap_key(ss, as_, epoch, creator, me, mine.id, pk, ct)
    key = suite.unseal(header.suite, wk, sealed)
    if key is None:
        raise Refused("WRAP_INVALID", "does not open")
    require(kdf(key, "kc") == header.kc, "KC_MISMATCH", "K is not the header's")
    return key


def chain_key(key: bytes, epoch: bytes, device_id: bytes, lane: int) -> bytes:
    """CK[i][lane] of counter 0."""
    return kdf(key, "chain", epoch + device_id + u8(lane))


def tag_key(shared: bytes, epoch: bytes, sender: bytes, to: bytes) -> bytes:
    """M[i->j]; `shared` is the exchange of the sender's identity with the receiver's prekey."""
    return kdf(shared, "mac", epoch + sender + to)
