"""Logins, prekeys and their rules, requests, epoch headers, X-Wing (CRYPTO 3, 4, 5, 9)."""

import hashlib

from formats.headers import HEADERS, HEADERS_REFUSED, XWING
from formats.logs import LOGINS
from formats.prekeys import PREKEY_RULES, PREKEYS, REQUESTS
from formats.shape import Case, side_json
from hw1 import prekey
from hw1.hash import sign
from hw1.log import NOBODY
from hw1.prekey import Prekey
from scenes.logbook import START_MS, Book
from scenes.tape import Tape

DAY = prekey.day_of(START_MS)
SMALL = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
)


def logins(tape: Tape) -> list[Case]:
    names = ["chat.example", "a.example:8443", "localhost"]
    return [
        LOGINS.complete(
            {
                "name": f"at {domain}",
                "seed": tape.hex(32),
                "domain": domain,
                "server_nonce": tape.hex(32),
                "log_id": tape.hex(32),
            }
        )
        for domain in names
    ]


def _prekey(tape: Tape, book: Book, suites: int, **changes: object) -> Case:
    side = book.known.side()
    fields = {
        "device_seed": book.seeds["d1"].hex(),
        "log_id": side.log_id.hex(),
        "id": 1,
        "day": DAY,
        "log_seq": side.seq,
        "log_head": side.head.hex(),
        "suites": suites,
        "x25519_secret": tape.hex(32),
        "xwing_seed": tape.hex(32) if suites & 4 else None,
    }
    return PREKEYS.complete({"name": f"mask {suites}", **fields, **changes})


def prekeys(tape: Tape) -> list[Case]:
    masks = [_prekey(tape, Book(tape, suites=1), mask) for mask in (1, 3, 5, 7)]
    high = _prekey(tape, Book(tape), 0x8007, name="highest numbers", id=2**32 - 1, day=2**32 - 1)
    return [*masks, high]


def prekey_rules(tape: Tape) -> list[Case]:
    """Records of d2, a device with suites 1 and 3, on a log that goes on after it."""
    book = Book(tape).device("d2", suites=5).device("d3").revoke("d3")
    cases: list[Case] = []

    def rule(name: str, made: Case | bytes, code: str | None, **changes: object) -> None:
        record = made.hex() if isinstance(made, bytes) else made["record"]
        xwing = good["xwing"] if isinstance(made, bytes) else made["xwing"]
        start = {"name": name, "log": book.wires, "record": record, "xwing": xwing, "created_ms": START_MS}
        case = PREKEY_RULES.complete({**start, "seen_id": 0, "role": "creator", **changes})
        assert case["code"] == code, f"{name}: {case['code']}"
        cases.append(case)

    def own(suites: int = 5, seed: str = "d2", **changes: object) -> Case:
        return _prekey(tape, book, suites, **{"device_seed": book.seeds[seed].hex(), **changes})

    def altered(**changes: object) -> bytes:
        fields = {**prekey.parse(bytes.fromhex(good["record"]))[0].__dict__, **changes}
        return Prekey(**fields).record(book.seeds["d2"])

    good = own(id=4)
    raw = bytes.fromhex(good["record"])
    heads = book.known.heads
    rule("usable", good, None)
    rule("usable with more suites than the log entry", own(7), None)
    rule("30 days old", own(day=DAY - 30), None)
    rule("of tomorrow", own(day=DAY + 1), None)
    rule("the last millisecond of the day", own(day=DAY - 30), None, created_ms=(DAY + 1) * prekey.DAY_MS - 1)
    rule("evidence is an older head", own(log_seq=1, log_head=heads[1].hex()), None)
    rule("the highest id seen", good, None, seen_id=4)
    rule("a recipient takes an older id", good, None, seen_id=5, role="recipient")
    rule("31 days old", own(day=DAY - 31), "PREKEY_STALE")
    rule(
        "a millisecond into the next day",
        own(day=DAY - 30),
        "PREKEY_STALE",
        created_ms=(DAY + 1) * prekey.DAY_MS,
    )
    rule("of the day after tomorrow", own(day=DAY + 2), "PREKEY_STALE")
    rule("a creator uses an older id", good, "PREKEY_ROLLBACK", seen_id=5)
    rule("another head as evidence", own(log_head=tape.hex(32)), "LOG_FORK")
    rule("a head at another seq", own(log_seq=2), "LOG_FORK")
    rule("evidence newer than the log", own(log_seq=4), "HOLD")
    rule("of a removed device", own(7, seed="d3"), "PREKEY_INVALID")
    rule("of a stranger", own(device_seed=tape.hex(32)), "PREKEY_INVALID")
    rule("not active at its own log_seq", own(log_seq=0, log_head=heads[0].hex()), "PREKEY_INVALID")
    rule("of another log", own(log_id=tape.hex(32)), "PREKEY_INVALID")
    rule("without a suite of the log entry", own(1), "PREKEY_INVALID")
    rule("id 0", own(id=0), "PREKEY_INVALID")
    rule(
        "signed by another device", raw[:-64] + sign(book.seeds["d1"], "prekey", raw[:-64]), "PREKEY_INVALID"
    )
    rule("signed under hw1/log", raw[:-64] + sign(book.seeds["d2"], "log", raw[:-64]), "PREKEY_INVALID")
    rule("signed under hw1/auth", raw[:-64] + sign(book.seeds["d2"], "auth", raw[:-64]), "PREKEY_INVALID")
    rule("a bit of the signature", raw[:-1] + bytes([raw[-1] ^ 1]), "PREKEY_INVALID")
    rule(
        "version 2",
        b"\x02" + raw[1:-64] + sign(book.seeds["d2"], "prekey", b"\x02" + raw[1:-64]),
        "PREKEY_INVALID",
    )
    rule("a byte less", raw[:-1], "PREKEY_INVALID")
    rule("a byte more", raw + b"\0", "PREKEY_INVALID")
    rule("another X-Wing key", good, "PREKEY_INVALID", xwing=own()["xwing"])
    rule("no X-Wing key", good, "PREKEY_INVALID", xwing=None)
    rule("an X-Wing key too short", good, "PREKEY_INVALID", xwing=good["xwing"][:-2])
    rule("no pq_hash, suite 3", altered(pq_hash=bytes(32)), "PREKEY_INVALID", xwing=None)
    for index, point in enumerate(SMALL):
        rule(f"X25519 key of small order {index + 1}", altered(x25519=point), "PREKEY_INVALID")
        high = point[:31] + bytes([point[31] | 0x80])
        rule(f"X25519 key of small order {index + 1}, high bit", altered(x25519=high), "PREKEY_INVALID")
    sound = bytes.fromhex(good["xwing"])
    unsealable = {
        "an X-Wing key with an unreduced coefficient": b"\x01\x0d" + sound[2:],
        "an X-Wing key whose last coefficient is unreduced": sound[:1151] + b"\xff" + sound[1152:],
        "an X-Wing key with an X25519 part of small order": sound[:1184] + SMALL[0],
    }
    for name, key in unsealable.items():
        record = altered(pq_hash=prekey.pq_hash(key))
        rule(name, record, "PREKEY_INVALID", xwing=key.hex())
    top = prekey.parse(raw)[0].x25519
    rule("X25519 key with the high bit", altered(x25519=top[:31] + bytes([top[31] | 0x80])), None)
    plain = Book(tape, suites=1)
    case = _prekey(tape, plain, 1)
    forged = Prekey(
        **{**prekey.parse(bytes.fromhex(case["record"]))[0].__dict__, "pq_hash": prekey.parse(raw)[0].pq_hash}
    )
    record = forged.record(plain.seeds["d1"])
    rule("an X-Wing key without suite 3", record, "PREKEY_INVALID", log=plain.wires)
    return cases


def requests(tape: Tape) -> list[Case]:
    asker = side_json(Book(tape).device("d2").known.side())
    named = {"handle": "bob", "to": tape.hex(32)}
    unnamed = {"handle": "z_9." * 8, "to": bytes(32).hex()}
    return [
        REQUESTS.complete({"name": name, **asker, **to, "nonce": tape.hex(16), "time_ms": START_MS})
        for name, to in (("to a known log", named), ("to a username", unnamed))
    ]


def _header(tape: Tape, name: str, sizes: tuple[int, int], **changes: object) -> Case:
    sides = sorted((Book(tape).known.side(), Book(tape).known.side()), key=lambda side: side.log_id)
    roster = []
    for number, size in enumerate(sizes):
        ids = sorted(tape.b(16) for _ in range(size))
        roster += [{"side": number, "device_id": one.hex(), "prekey_id": 1 + tape.below(99)} for one in ids]
    fields = {
        "suite": 3,
        "n": 0,
        "prev": tape.hex(32),
        "created_ms": START_MS,
        "creator": 0,
        "reason": 0,
        "a": side_json(sides[0]),
        "b": side_json(sides[1]),
        "kc": tape.hex(32),
        "roster": roster,
    }
    return HEADERS.complete({"name": name, **fields, **changes})


def headers(tape: Tape) -> list[Case]:
    nobody = side_json(NOBODY)
    stale = _header(tape, "a stale device", (2, 2))
    stale["roster"][1]["prekey_id"] = 0
    return [
        _header(tape, "1+1 devices", (1, 1)),
        _header(tape, "2+2 devices in suite 1", (2, 2), suite=1, creator=3, n=7, reason=3),
        _header(tape, "8+8 devices in suite 2", (8, 8), suite=2, creator=15, n=2**32 - 1, reason=4),
        HEADERS.complete(stale),
        _header(tape, "self-pair of 3", (3, 0), b=nobody, prev=bytes(32).hex()),
        _header(tape, "self-pair of 1", (1, 0), b=nobody, prev=bytes(32).hex(), suite=1),
    ]


def headers_refused(tape: Tape) -> list[Case]:
    raw = bytes.fromhex(_header(tape, "good", (2, 2))["header"])

    def at(offset: int, data: bytes) -> bytes:
        return raw[:offset] + data + raw[offset + len(data) :]

    one = raw[217 : 217 + 21]
    bad = {
        "empty": b"",
        "a byte less": raw[:-1],
        "a byte more": raw + b"\0",
        "version 0": at(0, b"\x00"),
        "version 2": at(0, b"\x02"),
        "suite 0": at(1, b"\x00"),
        "suite 4": at(1, b"\x04"),
        "creator outside the roster": at(46, b"\x04"),
        "no devices": raw[:216] + b"\x00",
        "17 devices": raw[:216] + b"\x11" + one * 17,
        "count below the devices": at(216, b"\x03"),
        "side 2": at(217, b"\x02"),
    }
    return [HEADERS_REFUSED.complete({"name": name, "header": data.hex()}) for name, data in bad.items()]


def xwing(tape: Tape) -> list[Case]:
    """The three published ones, whose seeds are the output of SHAKE128 of nothing, and two more."""
    stream = hashlib.shake_128(b"").digest(3 * 96)
    draws = [(f"published {index + 1}", stream[96 * index : 96 * (index + 1)]) for index in range(3)]
    draws += [(f"more {index + 1}", tape.b(96)) for index in range(2)]
    return [
        XWING.complete({"name": name, "seed": draw[:32].hex(), "eseed": draw[32:].hex()})
        for name, draw in draws
    ]
