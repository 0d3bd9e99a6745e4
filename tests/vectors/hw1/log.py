"""The device log (CRYPTO 3): its entries' layout, and the rules by which a log grows.

A `Log` is always valid: `append` takes one more wire, or refuses and changes nothing. It knows no
secret and nothing of the network.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hw1 import keys
from hw1.hash import h, sign, verifies
from hw1.layout import Reader, u8, u16, u32, u64, v8, v16
from hw1.refused import Refused, require

GENESIS, ADD, REVOKE, REC_ADD, REC_DEL = 1, 2, 3, 4, 5
ZERO = bytes(32)
RECOVERY_KIND = 255
MAX_DEVICES, MAX_RECOVERY, MAX_ENTRIES, MAX_WIRE = 8, 2, 1024, 512
INVALID = "LOG_INVALID"
DOMAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789.-:")
HANDLE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_.")


@dataclass(frozen=True)
class Device:
    """An active device as the log names it."""

    device_id: bytes
    ik: bytes
    kind: int
    suites: int


@dataclass(frozen=True)
class Side:
    """A log at one of its heads: what headers, requests and safety numbers name."""

    log_id: bytes
    seq: int
    head: bytes

    def encode(self) -> bytes:
        return self.log_id + u32(self.seq) + self.head


NOBODY = Side(ZERO, 0, ZERO)


@dataclass(frozen=True)
class Body:
    """The signed part of an entry: the common fields, and the payload as bytes."""

    type: int
    seq: int
    log_id: bytes
    prev: bytes
    time_ms: int
    signer: bytes
    payload: bytes

    def encode(self) -> bytes:
        start = u8(1) + u8(self.type) + u32(self.seq) + self.log_id + self.prev
        return start + u64(self.time_ms) + self.signer + self.payload


def genesis_payload(domain: str, handle: str, ik: bytes, kind: int, suites: int) -> bytes:
    return v8(domain.encode()) + v8(handle.encode()) + add_payload(ik, kind, suites)


def add_payload(ik: bytes, kind: int, suites: int) -> bytes:
    return ik + u8(kind) + u16(suites)


def revoke_payload(devices: list[bytes], reason: int) -> bytes:
    return u8(len(devices)) + b"".join(devices) + u8(reason)


def claim_input(log_id: bytes, key: bytes, kind: int, suites: int) -> bytes:
    """What a new key signs under hw1/claim: that it joins this log. Recovery keys: kind 255, suites 0."""
    return log_id + add_payload(key, kind, suites)


def signed_wire(body: bytes, claim: bytes, signer_seed: bytes) -> bytes:
    return v16(body) + claim + sign(signer_seed, "log", body + claim)


def entry_hash(wire: bytes) -> bytes:
    return h("entry", wire)


@dataclass
class Log:
    """A valid log, and what follows from it."""

    wires: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    active: list[dict[bytes, Device]] = field(default_factory=list)
    recovery: dict[bytes, bytes] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    domain: str = ""
    handle: str = ""
    time_ms: int = 0

    @property
    def log_id(self) -> bytes:
        return self.heads[0]

    @property
    def seq(self) -> int:
        return len(self.heads) - 1

    def side(self, seq: int | None = None) -> Side:
        at = self.seq if seq is None else seq
        return Side(self.log_id, at, self.heads[at])

    def has(self, side: Side) -> bool:
        """The side lies on this log."""
        known = side.seq <= self.seq and self.heads[side.seq] == side.head
        return known and side.log_id == self.log_id

    def devices(self, seq: int | None = None) -> list[Device]:
        """The devices active after the entry `seq`, sorted by id."""
        at = self.active[self.seq if seq is None else seq]
        return [at[device_id] for device_id in sorted(at)]

    def append(self, wire: bytes) -> None:
        """One more entry. Refuses with LOG_INVALID, and stays as it was."""
        require(len(self.heads) < MAX_ENTRIES, INVALID, "too many entries")
        require(len(wire) <= MAX_WIRE, INVALID, "entry too long")
        reader = Reader(wire, INVALID)
        raw = reader.v16()
        body = parse_body(raw)
        claim = reader.b(64) if body.type in (ADD, REC_ADD) else b""
        sig = reader.b(64)
        reader.end()
        self._check_links(body)
        _Step(self, body).run(raw, claim, sig)
        self.wires.append(wire)
        self.heads.append(entry_hash(wire))
        self.time_ms = body.time_ms

    def _check_links(self, body: Body) -> None:
        require(body.seq == len(self.heads), INVALID, "seq")
        first = not self.heads
        require((body.type == GENESIS) == first, INVALID, "genesis is the first entry and no other")
        require(body.log_id == (ZERO if first else self.log_id), INVALID, "log_id")
        require(body.prev == (ZERO if first else self.heads[-1]), INVALID, "prev")
        require(body.time_ms >= self.time_ms, INVALID, "time falls")


class _Step:
    """One entry against the log before it. The log changes at the very end of `run`."""

    def __init__(self, log: Log, body: Body) -> None:
        self.log = log
        self.body = body
        self.devices = dict(log.active[-1]) if log.active else {}
        self.recovery = dict(log.recovery)
        self.new_key: bytes | None = None
        self.names = (log.domain, log.handle)

    def run(self, raw: bytes, claim: bytes, sig: bytes) -> None:
        signer = self._signer()
        kind, suites = self._payload()
        if claim:
            assert self.new_key is not None
            signed = claim_input(self.log.log_id, self.new_key, kind, suites)
            require(verifies(self.new_key, "claim", signed, claim), INVALID, "claim signature")
        signer = signer or self.new_key or b""
        require(verifies(signer, "log", raw + claim, sig), INVALID, "signature")
        require(bool(self.devices or self.recovery), INVALID, "nobody stays active")
        require(len(self.devices) <= MAX_DEVICES, INVALID, "too many devices")
        require(len(self.recovery) <= MAX_RECOVERY, INVALID, "too many recovery keys")
        self.log.active.append(self.devices)
        self.log.recovery = self.recovery
        self.log.domain, self.log.handle = self.names
        if self.new_key is not None:
            self.log.seen.add(self.new_key)

    def _signer(self) -> bytes | None:
        """The signer's key: active before the entry. None for genesis, which signs itself."""
        if self.body.type == GENESIS:
            return None
        self.by_device = self.body.signer in self.devices
        if self.by_device:
            return self.devices[self.body.signer].ik
        require(self.body.signer in self.recovery, INVALID, "signer is not active")
        return self.recovery[self.body.signer]

    def _payload(self) -> tuple[int, int]:
        """Carries out the payload; (kind, suites) of what the claim signs."""
        reader = Reader(self.body.payload, INVALID)
        kind, suites = RECOVERY_KIND, 0
        match self.body.type:
            case 1:
                domain, handle = reader.v8(), reader.v8()
                require(1 <= len(domain) <= 253 and set(domain) <= DOMAIN, INVALID, "domain")
                require(3 <= len(handle) <= 32 and set(handle) <= HANDLE, INVALID, "handle")
                self.names = (domain.decode(), handle.decode())
                kind, suites = self._new_device(reader)
                require(self.body.signer in self.devices, INVALID, "genesis signs itself")
            case 2:
                kind, suites = self._new_device(reader)
            case 3:
                self._revoke(reader)
            case 4:
                require(not self.by_device or not self.recovery, INVALID, "a recovery key exists")
                key = self._new_key(reader)
                self.recovery[keys.device_id(key)] = key
            case 5:
                require(not self.by_device, INVALID, "only a recovery key removes one")
                gone = self.recovery.pop(reader.b(16), None)
                require(gone is not None, INVALID, "no such recovery key")
            case _:
                raise Refused(INVALID, "unknown type")
        reader.end()
        return kind, suites

    def _new_key(self, reader: Reader) -> bytes:
        key = reader.b(32)
        require(keys.is_identity_key(key), INVALID, "key is not canonical or not convertible")
        require(key not in self.log.seen, INVALID, "key seen before")
        self.new_key = key
        return key

    def _new_device(self, reader: Reader) -> tuple[int, int]:
        key, kind, suites = self._new_key(reader), reader.u8(), reader.u16()
        require(kind != RECOVERY_KIND, INVALID, "the kind of a recovery key's claim")
        require(suites != 0, INVALID, "no suites")
        device = Device(keys.device_id(key), key, kind, suites)
        self.devices[device.device_id] = device
        return kind, suites

    def _revoke(self, reader: Reader) -> None:
        count = reader.u8()
        require(1 <= count <= 8, INVALID, "a revocation names 1 to 8 devices")
        for _ in range(count):
            gone = self.devices.pop(reader.b(16), None)
            require(gone is not None, INVALID, "not an active device, or named twice")
        reader.u8()


def parse_body(raw: bytes) -> Body:
    reader = Reader(raw, INVALID)
    reader.version()
    return Body(
        reader.u8(), reader.u32(), reader.b(32), reader.b(32), reader.u64(), reader.b(16), reader.rest()
    )


def verify(wires: Iterable[bytes]) -> tuple[Log, str | None]:
    """The longest valid log that the wires start with, and LOG_INVALID if they go on after it."""
    log = Log()
    for wire in wires:
        try:
            log.append(wire)
        except Refused as refused:
            return log, refused.code
    return log, None


def check_pin(log: Log, pin: Side) -> None:
    """Refuses a log that is shorter than what was verified before, or another one."""
    require(log.seq >= pin.seq, "LOG_ROLLBACK", "shorter than the pin")
    require(log.has(pin), "LOG_FORK", "the pinned head is not on the log")
