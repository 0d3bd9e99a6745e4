"""Epochs that break one rule each (CRYPTO 5, E1 to E9): refused, and a good one taken after it."""

import dataclasses
from typing import Any

from formats.shape import Case
from hw1.epoch import Header, Place
from hw1.log import Side
from scenes.talk import DAY_MS, Talk
from scenes.talks import MASKS, PAIR, first
from scenes.tape import Tape


class Epochs(Talk):
    """A conversation in which b1 makes bad epochs for a1."""

    def start(self, chosen: int) -> "Epochs":
        first(self, (2, 2), MASKS[chosen])
        return self

    def bad(self, expect: str, wrapped: Header | None = None, **changes: Any) -> None:
        """The next epoch with other fields, sealed to a1 as it should be."""
        key = self.tape.b(32)
        header = self.header("b1", PAIR, key, **changes)
        wrap = self.wrap(header if wrapped is None else wrapped, key, self.device("b1").seed, "a1")
        self.take_bytes("a1", PAIR, header.encode(), wrap, expect)

    def fine(self, flags: tuple[str, ...] = (), **changes: Any) -> None:
        """The next epoch with other fields, which a1 takes."""
        key = self.tape.b(32)
        header = self.header("b1", PAIR, key, **changes)
        wrap = self.wrap(header, key, self.device("b1").seed, "a1")
        self.take_bytes("a1", PAIR, header.encode(), wrap, "ok", flags)

    def roster(self) -> list[Place]:
        return list(self.header("b1", PAIR, bytes(32)).roster)

    def good(self, label: str = "good") -> None:
        """a1 still takes what it should, and reads it."""
        self.epoch(label, "b1", PAIR)
        self.take("a1", label, PAIR)
        self.receive(["a1"], self.send("b1", label))


def suites(tape: Tape) -> Case:
    talk = Epochs(tape, "E1: suite").start(3)
    talk.bad("EPOCH_SUITE", suite=1)
    key = tape.b(32)
    header, wrap = talk.header("b1", PAIR, key), b""
    wrap = talk.wrap(header, key, talk.device("b1").seed, "a1")
    raw = header.encode()
    for data in (raw[:-1], raw + b"\0", b"\x02" + raw[1:], raw[:1] + b"\x04" + raw[2:]):
        talk.take_bytes("a1", PAIR, data, wrap, "MALFORMED")
    talk.good()
    return talk.case()


def best_of_two(tape: Tape) -> Case:
    """Suite 1 is better than 2: an epoch in suite 2 is refused where all have both."""
    talk = Epochs(tape, "E1: suite 2 although all have suite 1")
    for user in PAIR:
        talk.user(user, [3])
    talk.learn(["a1", "b1"], PAIR)
    for device in ("a1", "b1"):
        talk.prekey(device)
    request = talk.request("a1", PAIR, "bob")
    talk.epoch("e0", "b1", PAIR, prev=bytes.fromhex(request))
    talk.take("a1", "e0", PAIR)
    talk.bad("EPOCH_SUITE", suite=2)
    talk.good()
    return talk.case()


def pairs(tape: Tape) -> Case:
    talk = Epochs(tape, "E2: pair and creator").start(1)
    talk.user("c", [1])
    talk.learn(["a1", "b1", "c1"], ["c"])
    talk.learn(["c1"], PAIR)
    talk.prekey("c1")
    others = ["b", "c"]
    key = tape.b(32)
    request = talk.request("c1", others, "bob")
    header = talk.header("b1", others, key, prev=bytes.fromhex(request))
    talk.take_bytes(
        "a1", PAIR, header.encode(), talk.wrap(header, key, talk.device("b1").seed, "a1"), "EPOCH_ROSTER"
    )
    good = talk.header("b1", PAIR, bytes(32))
    swapped = [Place(1 - place.side, place.device_id, place.prekey_id) for place in good.roster]
    swapped.sort(key=lambda place: place.side)
    creator = next(at for at, place in enumerate(swapped) if place.device_id == good.creator_device)
    talk.bad("EPOCH_ROSTER", a=good.b, b=good.a, roster=tuple(swapped), creator=creator)
    bare = list(good.roster)
    bare[good.creator] = dataclasses.replace(bare[good.creator], prekey_id=0)
    talk.bad("EPOCH_ROSTER", roster=tuple(bare))
    talk.good()

    # b2 makes an epoch on the head at which it was still there.
    talk.revoke("b", ["b2"], by="b1")
    talk.learn(["a1", "b1"], ["b"])
    key = tape.b(32)
    header = talk.header("b2", PAIR, key, n=2, prev=talk.held("a1", "good").epoch_id)
    talk.take_bytes(
        "a1", PAIR, header.encode(), talk.wrap(header, key, talk.device("b2").seed, "a1"), "DEVICE_REVOKED"
    )
    talk.good("after")
    return talk.case()


def numbers(tape: Tape) -> Case:
    talk = Epochs(tape, "E3: number and prev")
    for user in PAIR:
        talk.user(user, [1, 1])
    devices = ["a1", "a2", "b1", "b2"]
    talk.learn(devices, PAIR)
    for device in devices:
        talk.prekey(device)
    request = talk.request("a1", PAIR, "bob")
    talk.bad("EPOCH_GAP", prev=tape.b(32))
    talk.bad("EPOCH_GAP", prev=bytes(32))
    talk.epoch("e0", "b1", PAIR, prev=bytes.fromhex(request))
    talk.take("a1", "e0", PAIR)
    talk.take("a1", "e0", PAIR, "REPLAY")
    talk.good("e1")
    talk.bad("REPLAY", n=0, prev=bytes.fromhex(request))
    talk.take("a1", "e0", PAIR, "REPLAY")
    talk.good("e2")
    talk.bad("EPOCH_GAP", n=2 + 2**16 + 1)
    talk.bad("EPOCH_GAP", n=2**32 - 1)
    talk.fine(("GAP",), n=2 + 2**16)
    return talk.case()


def self_pairs(tape: Tape) -> Case:
    """A self-pair begins with nothing before it, and is no other pair."""
    talk = Epochs(tape, "E2, E3: self-pair")
    for user in PAIR:
        talk.user(user, [1, 1])
    devices = ["a1", "a2", "b1", "b2"]
    talk.learn(devices, PAIR)
    for device in devices:
        talk.prekey(device)
    request = bytes.fromhex(talk.request("a1", PAIR, "bob"))
    for prev in (request, tape.b(32)):
        key = tape.b(32)
        header = talk.header("a2", ["a"], key, prev=prev)
        wrap = talk.wrap(header, key, talk.device("a2").seed, "a1")
        talk.take_bytes("a1", ["a"], header.encode(), wrap, "EPOCH_GAP")
    talk.epoch("own", "a2", ["a"])
    talk.take("a1", "own", PAIR, "EPOCH_ROSTER")
    talk.take("a1", "own", ["a"])
    talk.epoch("e0", "b1", PAIR, prev=request)
    talk.take("a1", "e0", ["a"], "EPOCH_ROSTER")
    talk.take("a1", "e0", PAIR)
    talk.receive(["a1"], talk.send("b1", "e0"))
    return talk.case()


def heads(tape: Tape) -> Case:
    talk = Epochs(tape, "E4: heads").start(1)
    good = talk.header("b1", PAIR, bytes(32))

    def at(expect: str, side: str, head: Side) -> None:
        changes: dict[str, Any] = {side: head}
        talk.bad(expect, **changes)

    for side, named in (("a", good.a), ("b", good.b)):
        at("LOG_FORK", side, Side(named.log_id, named.seq, tape.b(32)))
        at("LOG_FORK", side, Side(named.log_id, named.seq - 1, named.head))
        at("HOLD", side, Side(named.log_id, named.seq + 1, tape.b(32)))
    talk.good()
    return talk.case()


def rosters(tape: Tape) -> Case:
    talk = Epochs(tape, "E6: roster").start(1)
    right = talk.roster()
    b1, b2 = talk.device("b1").id, talk.device("b2").id

    def bad(places: list[Place]) -> None:
        creator = next(at for at, place in enumerate(places) if place.device_id == b1)
        talk.bad("EPOCH_ROSTER", roster=tuple(places), creator=creator)

    ghost = Place(1, tape.b(16), 1)
    bad(sorted([*right, ghost], key=lambda place: (place.side, place.device_id)))
    bad([*right, ghost])
    bad([place for place in right if place.device_id != b2])
    bad([right[1], right[0], *right[2:]])
    bad([*right[:2], right[3], right[2]])
    bad([*right[2:], *right[:2]])
    bad([*right, right[-1]])
    bad([dataclasses.replace(right[0], side=1), *right[1:]])
    talk.good()

    # A device is called stale although a record of yesterday, or of 30 days ago, is known.
    for days in (1, 29):
        talk.now += days * DAY_MS
        for device in ("a1", "a2", "b1"):
            talk.prekey(device)
        stale = [
            dataclasses.replace(place, prekey_id=0) if place.device_id == b2 else place
            for place in talk.roster()
        ]
        bad(stale)
    talk.now += DAY_MS
    for device in ("a1", "a2", "b1"):
        talk.prekey(device)
    # 31 days: stale indeed, and its old prekey may not be named.
    talk.bad("PREKEY_STALE")
    talk.epoch("stale", "b1", PAIR, stale=("b2",))
    talk.take("a1", "stale", PAIR)
    talk.take("a2", "stale", PAIR, flags=("GAP",))
    # A record of the epoch's own day does not yet make the mark wrong.
    talk.prekey("b2")
    talk.epoch("same day", "b1", PAIR, stale=("b2",))
    talk.take("a1", "same day", PAIR)
    talk.receive(["a1"], talk.send("b1", "same day"))
    return talk.case()


def named_prekeys(tape: Tape) -> Case:
    talk = Epochs(tape, "E7: named prekeys").start(1)
    right = talk.roster()
    mine = next(at for at, place in enumerate(right) if place.device_id == talk.device("a1").id)
    unknown = [
        dataclasses.replace(place, prekey_id=99) if at == mine else place for at, place in enumerate(right)
    ]
    talk.bad("HOLD", roster=tuple(unknown))
    talk.epoch("e1", "b1", PAIR)
    talk.do({"do": "erase", "device": "a1", "id": 1})
    talk.take("a1", "e1", PAIR, "WRAP_INVALID")
    talk.prekey("a1")
    talk.epoch("e2", "b1", PAIR)
    talk.take("a1", "e2", PAIR, flags=("GAP",))
    talk.receive(["a1"], talk.send("b1", "e2"))
    return talk.case()


def times(tape: Tape) -> Case:
    talk = Epochs(tape, "E8: times").start(1)
    talk.bad("EPOCH_STALE", created_ms=talk.now + DAY_MS + 1)
    before = talk.held("b1", "e0").header.created_ms
    talk.bad("EPOCH_STALE", created_ms=before - 1)
    talk.epoch("same time", "b1", PAIR, created_ms=before)
    talk.take("a1", "same time", PAIR)
    talk.fine(created_ms=talk.now + DAY_MS)
    return talk.case()


def falling_times(tape: Tape) -> Case:
    """The time is held against what a1 has taken with a lower n, whatever prev names."""
    talk = Epochs(tape, "E8: times after a gap, and of siblings").start(1)
    before = talk.held("b1", "e0").header.created_ms
    talk.epoch("e1", "b1", PAIR)
    talk.take("a1", "e1", PAIR)
    newest = talk.held("b1", "e1").header.created_ms
    talk.bad("EPOCH_STALE", n=9, prev=tape.b(32), created_ms=newest - 1)
    talk.bad("EPOCH_STALE", prev=talk.held("b1", "e0").epoch_id, created_ms=newest - 1)
    # A sibling is made at any time after the epoch before both.
    sibling: dict[str, Any] = {"n": 1, "prev": talk.held("b1", "e0").epoch_id}
    talk.bad("EPOCH_STALE", **sibling, created_ms=before - 1)
    talk.fine(("FORK",), **sibling, created_ms=before)
    talk.fine(("GAP",), n=9, prev=tape.b(32), created_ms=newest)
    return talk.case()


def predecessors(tape: Tape) -> list[Case]:
    """Only the epoch of n - 1, or a request, leaves no gap before it. Nobody holds more than 4 epochs."""
    names = ("an older prev", "prev of siblings", "re-accepted")
    talks = [Epochs(tape, f"E3: {name}").start(1) for name in names]
    older, siblings, again = talks
    for talk in (older, siblings):
        talk.epoch("e1", "b1", PAIR)
        talk.take("a1", "e1", PAIR)
    ids = [older.held("b1", label).epoch_id for label in ("e0", "e1")]
    older.fine(("GAP",), n=2, prev=ids[0])
    older.fine(("GAP",), n=3, prev=ids[1])
    ids = [siblings.held("b1", label).epoch_id for label in ("e0", "e1")]
    siblings.fine(("FORK",), n=1, prev=ids[0])
    siblings.fine(("FORK", "GAP"), n=1, prev=ids[1])
    # After remove and re-accept the number goes on, from the one that the acceptor knew.
    for number in (1, 2):
        request = again.request("a1", PAIR, "bob", again.device("b1").user)
        again.fine(n=number, prev=bytes.fromhex(request))
    again.fine(("GAP",), n=3, prev=bytes(32))
    # A request is no way past the numbers in between.
    request = again.request("a1", PAIR, "bob", again.device("b1").user)
    again.fine(("GAP",), n=5, prev=bytes.fromhex(request))
    return [talk.case() for talk in talks]


def wraps(tape: Tape, chosen: int) -> Case:
    """What a server, another member or the creator itself may do to a wrap."""
    talk = Epochs(tape, f"E9: wraps in suite {chosen}").start(chosen)
    key, creator = tape.b(32), talk.device("b1").seed
    header = talk.header("b1", PAIR, key)
    wrap = talk.wrap(header, key, creator, "a1")

    def bad(data: bytes, expect: str = "WRAP_INVALID") -> None:
        talk.take_bytes("a1", PAIR, header.encode(), data, expect)

    # The creator does not know another device's secrets; the server knows none.
    bad(talk.wrap(header, key, tape.b(32), "a1"))
    bad(talk.wrap(header, key, talk.device("b2").seed, "a1"))
    bad(talk.wrap(header, key, creator, "a2"))
    bad(talk.wrap(header, tape.b(32), tape.b(32), "a1"))
    other = dataclasses.replace(header, created_ms=header.created_ms + 1)
    bad(talk.wrap(other, key, creator, "a1"))
    for at in (0, len(wrap) - 49, len(wrap) - 48, len(wrap) - 1):
        bad(wrap[:at] + bytes([wrap[at] ^ 1]) + wrap[at + 1 :])
    bad(wrap[:-1])
    bad(wrap + b"\0")
    bad(b"")
    bad(bytes(len(wrap)))
    bad(talk.wrap(header, tape.b(32), creator, "a1"), "KC_MISMATCH")
    talk.take_bytes("a1", PAIR, header.encode(), wrap, "ok")
    return talk.case()


def epochs(tape: Tape) -> list[Case]:
    makers = [suites, best_of_two, pairs, numbers, self_pairs, heads, rosters]
    makers += [named_prekeys, times, falling_times]
    by_suite = [wraps(tape, chosen) for chosen in (1, 2, 3)]
    return [*(maker(tape) for maker in makers), *predecessors(tape), *by_suite]
