"""E1 to E9 (CRYPTO 5): what a recipient checks before it uses an epoch.

`View` is what the device knows; nothing here changes it. E10 is the caller's: keep the chains, then
acknowledge.
"""

from dataclasses import dataclass, field

from hw1 import epoch, prekey, suite
from hw1.epoch import Header, Place, PrekeySecret
from hw1.hash import kdf
from hw1.log import NOBODY, ZERO, Log
from hw1.prekey import Prekey
from hw1.refused import Refused, require

ROSTER = "EPOCH_ROSTER"
DAY_MS = prekey.DAY_MS
# An epoch's number is at most so far above the highest that is known.
JUMP = 1 << 16


@dataclass(frozen=True)
class Published:
    """A prekey record, and the X-Wing key beside it."""

    record: bytes
    xwing: bytes | None


@dataclass
class View:
    """What a device knows of a pair."""

    me: bytes
    own: bytes
    logs: dict[bytes, Log]
    pair: tuple[bytes, ...]
    requests: set[bytes]
    records: dict[tuple[bytes, int], Published]
    secrets: dict[int, PrekeySecret]
    known: dict[bytes, Header] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """An epoch that may be used, its K, and what is to be said about it."""

    header: Header
    epoch_id: bytes
    key: bytes
    flags: tuple[str, ...]
    prekeys: dict[bytes, Prekey]


def roster_at(view: View, header: Header) -> list[tuple[int, bytes]]:
    """All active devices at the header's heads: side A then B, each sorted by id."""
    sides = [(0, header.a)] if header.is_self_pair else [(0, header.a), (1, header.b)]
    places = []
    for number, side in sides:
        places += [(number, device.device_id) for device in view.logs[side.log_id].devices(side.seq)]
    return places


def accept(view: View, data: bytes, wrap: bytes, now_ms: int) -> Accepted:
    """The epoch, or Refused with a code."""
    header, flags = epoch.parse(data), []
    epoch_id = epoch.epoch_id(data)
    _check_pair(view, header)
    flags += _check_number(view, header, epoch_id)
    flags += _check_heads(view, header)
    _check_creator(view, header)
    prekeys = _check_roster(view, header)
    _check_suite(header, prekeys)
    _check_time(view, header, now_ms)
    mine = _own_prekey(view, header)
    creator_log = view.logs[_log_id(header, header.roster[header.creator])]
    creator = {device.device_id: device for at in creator_log.active for device in at.values()}
    key = epoch.open_wrap(header, creator[header.creator_device].ik, view.me, mine, wrap)
    return Accepted(header, epoch_id, key, tuple(sorted(flags)), prekeys)


def judge_own(view: View, header: Header, key: bytes) -> Accepted:
    """The same for an epoch that this device makes, which also keeps the rules of a creator."""
    _check_pair(view, header)
    _check_number(view, header, epoch.epoch_id(header.encode()))
    siblings = [epoch_id for epoch_id, known in view.known.items() if known.n == header.n - 1]
    require(
        not siblings or header.prev in (min(siblings), *view.requests),
        "EPOCH_GAP",
        "prev is the one sent on",
    )
    require(_check_heads(view, header) == [], "EPOCH_STALE", "a head is not the newest known")
    _check_creator(view, header)
    prekeys = _check_roster(view, header)
    for device_id, found in prekeys.items():
        seen = max(prekey_id for known, prekey_id in view.records if known == device_id)
        prekey.check_newest(found, seen)
    _check_suite(header, prekeys)
    _check_time(view, header, header.created_ms)
    require(kdf(key, "kc") == header.kc, "KC_MISMATCH", "kc")
    return Accepted(header, epoch.epoch_id(header.encode()), key, (), prekeys)


def _log_id(header: Header, place: Place) -> bytes:
    return header.b.log_id if place.side else header.a.log_id


def _check_pair(view: View, header: Header) -> None:
    """E2, both log ids, and their order."""
    if header.is_self_pair:
        named: tuple[bytes, ...] = (header.a.log_id,)
    else:
        named = (header.a.log_id, header.b.log_id)
        require(named[0] < named[1], ROSTER, "A < B")
    require(named == view.pair, ROSTER, "another pair")


def _check_number(view: View, header: Header, epoch_id: bytes) -> list[str]:
    """E3: GAP and FORK are flags, not refusals."""
    require(epoch_id not in view.known, "REPLAY", "the same epoch again")
    highest = max((known.n for known in view.known.values()), default=-1)
    require(header.n >= highest, "REPLAY", "n is not above the highest")
    require(highest < 0 or header.n <= highest + JUMP, "EPOCH_GAP", "n leaps")
    flags = ["FORK"] if header.n == highest else []
    if header.is_self_pair and header.n == 0:
        require(header.prev == ZERO, "EPOCH_GAP", "the first of a self-pair has no prev")
    elif header.n == 0:
        require(header.prev in view.requests, "EPOCH_GAP", "prev is no request of this pair")
    elif header.prev not in view.requests or header.n > highest + 1:
        before = view.known.get(header.prev)
        if before is None or before.n != header.n - 1:
            flags.append("GAP")
    return flags


def _check_heads(view: View, header: Header) -> list[str]:
    """E4 and E5."""
    flags = []
    for side in (header.a, header.b):
        if side == NOBODY:
            continue
        log = view.logs[side.log_id]
        require(side.seq <= log.seq, "HOLD", "fetch the log first")
        require(log.has(side), "LOG_FORK", "head is not on the log")
        if side.seq < log.seq:
            flags = ["STALE"]
    return flags


def _check_creator(view: View, header: Header) -> None:
    """E2, the creator."""
    place = header.roster[header.creator]
    require(place.prekey_id != 0, ROSTER, "the creator has no prekey")
    newest = {device.device_id for device in view.logs[_log_id(header, place)].devices()}
    listed = (place.side, place.device_id) in roster_at(view, header)
    require(not listed or place.device_id in newest, "DEVICE_REVOKED", "the creator was removed")


def _check_roster(view: View, header: Header) -> dict[bytes, Prekey]:
    """E6, and that each named prekey is usable."""
    named = [(place.side, place.device_id) for place in header.roster]
    require(named == roster_at(view, header), ROSTER, "not the active devices of both logs")
    prekeys = {}
    for place in header.roster:
        log, at = view.logs[_log_id(header, place)], (header.b if place.side else header.a).seq
        if place.prekey_id == 0:
            require(not _has_fresh(view, place, header.created_ms), ROSTER, "not stale")
            continue
        published = view.records.get((place.device_id, place.prekey_id))
        if published is None:
            raise Refused("HOLD", "a named prekey must be fetched first")
        found = prekey.usable(log, published.record, published.xwing, header.created_ms, at)
        prekeys[place.device_id] = found
    return prekeys


def _has_fresh(view: View, place: Place, created_ms: int) -> bool:
    """A record of the device is known with a day in [c-30, c-1]."""
    day = prekey.day_of(created_ms)
    days = [
        prekey.parse(published.record)[0].day
        for (device_id, _), published in view.records.items()
        if device_id == place.device_id
    ]
    return any(day - 30 <= found <= day - 1 for found in days)


def _check_suite(header: Header, prekeys: dict[bytes, Prekey]) -> None:
    """E1: the best common suite of all wrapped devices."""
    best = suite.best_common([found.suites for found in prekeys.values()])
    require(header.suite == best, "EPOCH_SUITE", "not the best common suite")


def _check_time(view: View, header: Header, now_ms: int) -> None:
    """E8."""
    require(header.created_ms <= now_ms + DAY_MS, "EPOCH_STALE", "made in the future")
    lower = [(known.n, known.created_ms) for known in view.known.values() if known.n < header.n]
    require(not lower or header.created_ms >= max(lower)[1], "EPOCH_STALE", "time falls")


def _own_prekey(view: View, header: Header) -> PrekeySecret:
    """E7."""
    index = header.index(view.me)
    require(index is not None, ROSTER, "not for this device")
    assert index is not None
    prekey_id = header.roster[index].prekey_id
    require(prekey_id != 0, "RECIPIENT_STALE", "no wrap for this device")
    require(prekey_id in view.secrets, "WRAP_INVALID", "a prekey that this device does not hold")
    return view.secrets[prekey_id]
