"""Prekeys (CRYPTO 4): the record of 223 bytes, and when an epoch may be sealed to it."""

from dataclasses import dataclass

from hw1 import keys, suite, xwing
from hw1.hash import h, sign, verifies
from hw1.layout import Reader, u8, u16, u32
from hw1.log import ZERO, Log, Side
from hw1.refused import MALFORMED, Refused, require

DAY_MS = 86_400_000
SIZE = 223
INVALID = "PREKEY_INVALID"


@dataclass(frozen=True)
class Prekey:
    """A record's fields, without its signature."""

    log_id: bytes
    device_id: bytes
    id: int
    day: int
    log_seq: int
    log_head: bytes
    suites: int
    x25519: bytes
    pq_hash: bytes

    def signed(self) -> bytes:
        start = u8(1) + self.log_id + self.device_id + u32(self.id) + u32(self.day)
        evidence = u32(self.log_seq) + self.log_head
        return start + evidence + u16(self.suites) + self.x25519 + self.pq_hash

    def record(self, device_seed: bytes) -> bytes:
        return self.signed() + sign(device_seed, "prekey", self.signed())


def pq_hash(public: bytes | None) -> bytes:
    """H(hw1/xwing, pk), or zeros without one."""
    return ZERO if public is None else h("xwing", public)


def parse(record: bytes) -> tuple[Prekey, bytes]:
    """(fields, signature)."""
    require(len(record) == SIZE, MALFORMED, "a prekey record has 223 bytes")
    reader = Reader(record)
    reader.version()
    fields = Prekey(
        reader.b(32),
        reader.b(16),
        reader.u32(),
        reader.u32(),
        reader.u32(),
        reader.b(32),
        reader.u16(),
        reader.b(32),
        reader.b(32),
    )
    return fields, reader.b(64)


def day_of(time_ms: int) -> int:
    """Days since 1970 (UTC)."""
    return time_ms // DAY_MS


def usable(
    log: Log, record: bytes, xwing_key: bytes | None, created_ms: int, at: int | None = None
) -> Prekey:
    """The prekey, if an epoch made at `created_ms`, whose header names entry `at` of the log, may use it.

    Refuses with PREKEY_INVALID, PREKEY_STALE, LOG_FORK, or HOLD if the log must be fetched first.
    """
    try:
        prekey, signature = parse(record)
    except Refused as refused:
        raise Refused(INVALID, "does not parse") from refused
    require(prekey.log_id == log.log_id, INVALID, "of another log")
    at = log.seq if at is None else at
    device = log.active[at].get(prekey.device_id)
    require(device is not None, INVALID, "device is not active")
    assert device is not None
    require(verifies(device.ik, "prekey", prekey.signed(), signature), INVALID, "signature")
    require(prekey.id > 0, INVALID, "id 0 means stale")
    require(prekey.suites & device.suites == device.suites, INVALID, "suites of the log entry")
    _check_keys(prekey, xwing_key)
    day = day_of(created_ms)
    require(day - 30 <= prekey.day <= day + 1, "PREKEY_STALE", "day")
    require(prekey.log_seq <= log.seq, "HOLD", "names a newer entry: fetch the log first")
    require(log.has(Side(prekey.log_id, prekey.log_seq, prekey.log_head)), "LOG_FORK", "head evidence")
    require(prekey.device_id in log.active[prekey.log_seq], INVALID, "not active at its log_seq")
    return prekey


def _check_keys(prekey: Prekey, xwing_key: bytes | None) -> None:
    require(keys.is_exchange_key(prekey.x25519), INVALID, "X25519 key of small order")
    has_3 = bool(prekey.suites & suite.bit(3))
    require(has_3 == (xwing_key is not None), INVALID, "X-Wing key goes with suite 3")
    require(xwing_key is None or len(xwing_key) == xwing.PUBLIC, INVALID, "X-Wing key's size")
    require(prekey.pq_hash == pq_hash(xwing_key), INVALID, "X-Wing key is not the record's")
    require(xwing_key is None or xwing.is_sealable(xwing_key), INVALID, "X-Wing key that nobody can seal to")


def check_newest(prekey: Prekey, seen_id: int) -> None:
    """A creator must use the highest id that it has ever seen for the device."""
    require(prekey.id >= seen_id, "PREKEY_ROLLBACK", "a higher id was seen")
