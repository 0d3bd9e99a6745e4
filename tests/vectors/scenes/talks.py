"""Conversations that go well: out of order, skipped, over several epochs, between many devices."""

from formats.shape import Case
from scenes.talk import DAY_MS, HOUR_MS, Talk
from scenes.tape import Tape

PAIR = ["a", "b"]
# Masks of the devices that make each suite the best common one.
MASKS = {1: [3, 1], 2: [2, 2], 3: [7, 5]}


def first(talk: Talk, sizes: tuple[int, int], masks: list[int]) -> tuple[list[str], list[str]]:
    """Two users with so many devices, who know each other's logs, prekeys and a request; epoch e0."""
    sides = []
    for user, size in zip(PAIR, sizes, strict=True):
        talk.user(user, [masks[index % len(masks)] for index in range(size)])
        sides.append([f"{user}{number}" for number in range(1, size + 1)])
    devices = sides[0] + sides[1]
    talk.learn(devices, PAIR)
    for device in devices:
        talk.prekey(device)
    request = talk.request("a1", PAIR, "bob", talk.device("b1").user if talk.tape.below(2) else bytes(32))
    talk.epoch("e0", "b1", PAIR, prev=bytes.fromhex(request))
    for device in devices:
        if device != "b1":
            talk.take(device, "e0", PAIR)
    return sides[0], sides[1]


def rotate(
    talk: Talk, label: str, by: str, devices: list[str], pair: list[str] = PAIR, hours: int = 13
) -> None:
    """Fresh prekeys of some devices, then the next epoch."""
    talk.now += hours * HOUR_MS
    for device in devices[::2]:
        talk.prekey(device)
    talk.epoch(label, by, pair)
    for device in devices:
        if device != by:
            talk.take(device, label, pair)


def one_and_one(tape: Tape, chosen: int) -> Case:
    """1+1 devices, three epochs."""
    talk = Talk(tape, f"1+1 devices in suite {chosen}")
    first(talk, (1, 1), MASKS[chosen])
    hello = talk.send("a1", "e0")
    talk.receive(["b1"], hello)
    talk.receive(["b1"], hello, "REPLAY")
    late, early = talk.send("a1", "e0", seen=True), talk.send("a1", "e0")
    typing, again = talk.send("a1", "e0", 8, on=1), talk.send("a1", "e0", 8, on=0)
    talk.receive(["b1"], again)
    talk.receive(["b1"], early)
    talk.receive(["b1"], typing)
    read = [talk.sent(name)["content"]["content_id"] for name in (hello, early)]
    receipt = talk.send("b1", "e0", 6, receipt=2, ids=read)
    answer = talk.send("b1", "e0", seen=True, reply_to=read[0], text="Good to read you")
    talk.receive(["a1"], answer)
    talk.receive(["a1"], receipt)
    waiting = talk.send("b1", "e0")
    rotate(talk, "e1", "a1", ["a1", "b1"])
    talk.exchange(["a1", "b1"], "e1", ["b1", "a1"])
    talk.receive(["b1"], late)
    talk.receive(["a1"], waiting)
    rotate(talk, "e2", "b1", ["b1", "a1"], hours=24)
    talk.exchange(["a1", "b1"], "e2", ["a1", "b1", "b1"])
    return talk.case()


def two_and_two(tape: Tape, chosen: int) -> Case:
    """2+2 devices: all content types, a device more, a device less, a silent device."""
    talk = Talk(tape, f"2+2 devices in suite {chosen}")
    mine, theirs = first(talk, (2, 2), MASKS[chosen])
    devices = mine + theirs
    names = talk.exchange(devices, "e0", devices)
    everything(talk, "e0", devices, names[0])
    held = [talk.send("b2", "e0", seen=True) for _ in range(3)]
    for name in reversed(held):
        talk.receive(["a1", "b1"], name)
    talk.receive(["a2"], held[2])

    # A third device of a, whom b hears of late.
    talk.add("a", "a3", MASKS[chosen][0], by="a2")
    talk.learn(["a1", "a2", "a3"], ["a"])
    talk.learn(["a3"], ["b"])
    talk.prekey("a3")
    talk.learn(["b1"], ["a"])
    talk.epoch("e1", "b1", PAIR, reason=1)
    talk.learn(["b2"], ["a"])
    for device in ("a1", "a2", "a3", "b2"):
        talk.take(device, "e1", PAIR, flags=("GAP",) if device == "a3" else ())
    talk.exchange([*devices, "a3"], "e1", ["a3", "a1", "b2"])
    talk.receive(["a2"], held[0])

    # a1 is removed; nothing of the next epoch is for it.
    talk.revoke("a", ["a1"], by="a3")
    left = ["a2", "a3", "b1", "b2"]
    talk.learn(left, ["a"])
    talk.prekey("a3")
    talk.epoch("e2", "a3", PAIR, reason=1)
    for device in ("a2", "b1", "b2"):
        talk.take(device, "e2", PAIR)
    talk.exchange(left, "e2", ["b2", "a2"])

    # b2 is silent for more than 30 days, then comes back.
    talk.now += 32 * DAY_MS
    for device in ("a2", "a3", "b1"):
        talk.prekey(device)
    talk.epoch("e3", "a2", PAIR, stale=("b2",), reason=2)
    for device in ("a3", "b1"):
        talk.take(device, "e3", PAIR)
    talk.exchange(["a2", "a3", "b1"], "e3", ["b1", "a2"])
    talk.prekey("b2")
    talk.epoch("e4", "a3", PAIR, reason=3)
    for device in ("a2", "b1"):
        talk.take(device, "e4", PAIR)
    talk.take("b2", "e4", PAIR, flags=("GAP",))
    talk.exchange(left, "e4", ["b2", "a3"])
    return talk.case()


def everything(talk: Talk, label: str, devices: list[str], text: str) -> None:
    """One message of each type, read by all others."""
    tape, target = talk.tape, talk.sent(text)["content"]["content_id"]
    call = tape.hex(16)
    item = {"content_id": tape.hex(16), "type": 1, "fields": {"reply_to": target, "text": tape.words(3)}}
    reaction = {"content_id": tape.hex(16), "type": 9, "fields": {"target": target, "reaction": "!"}}
    file = {"mime": "image/png", "file_name": "roof.png", "size": 1000, "ct_size": 1041, "blob": tape.hex(16)}
    secrets = {"key": tape.hex(32), "hdr": tape.hex(24), "ct_hash": tape.hex(32), "thumbnail": tape.hex(200)}
    for type_, fields in (
        (2, {"target": target, "rev": 1, "text": tape.words(60)}),
        (4, {**file, **secrets}),
        (
            5,
            {"content_id": call, "call_id": call, "sub": 1, "expires_ms": talk.now, "payload": tape.hex(300)},
        ),
        (9, {"target": target, "reaction": "\u00e9"}),
        (10, {"seconds": 86_400}),
        (11, {"items": [item, reaction]}),
        (12, {"display_name": "Alice of the roofs"}),
        (3, {"target": target}),
    ):
        name = talk.send(devices[0], label, type_, **fields)
        talk.receive(devices[1:], name)


def siblings(tape: Tape, chosen: int) -> Case:
    """Two epochs of one number: both are read, the lower id is sent on, the next one heals."""
    talk = Talk(tape, f"siblings in suite {chosen}")
    first(talk, (1, 1), MASKS[chosen])
    ids = [(talk.epoch("x", "a1", PAIR), "x"), (talk.epoch("y", "b1", PAIR), "y")]
    mine, theirs = talk.send("a1", "x"), talk.send("b1", "y")
    talk.receive(["b1"], mine, "EPOCH_UNKNOWN")
    talk.take("b1", "x", PAIR, flags=("FORK",))
    talk.take("a1", "y", PAIR, flags=("FORK",))
    talk.receive(["b1"], mine)
    talk.receive(["a1"], theirs)
    lower = min(ids)[1]
    talk.exchange(["a1", "b1"], lower, ["a1", "b1"])
    rotate(talk, "e2", "b1", ["a1", "b1"], hours=1)
    talk.exchange(["a1", "b1"], "e2", ["a1", "b1"])
    return talk.case()


def either(tape: Tape, chosen: int) -> Case:
    """After siblings, a device that knows only the one that is not sent on names that one: no GAP."""
    talk = Talk(tape, f"after either sibling in suite {chosen}")
    mine, theirs = first(talk, (2, 1), MASKS[chosen])
    devices = mine + theirs
    ids = [(talk.epoch("x", "a1", PAIR), "x", "a1"), (talk.epoch("y", "b1", PAIR), "y", "b1")]
    for _, label, maker in ids:
        talk.receive([], talk.send(maker, label))
    talk.take("b1", "x", PAIR, flags=("FORK",))
    talk.take("a1", "y", PAIR, flags=("FORK",))
    (_, lower, _), (_, higher, _) = sorted(ids)
    talk.take("a2", higher, PAIR)
    talk.receive(["a1", "b1"], talk.send("a2", higher))
    for sender, reader in (("a1", "b1"), ("b1", "a1")):
        talk.receive([reader], talk.send(sender, lower))
    talk.epoch("e2", "a2", PAIR)
    for device in ("a1", "b1"):
        talk.take(device, "e2", PAIR)
    talk.exchange(devices, "e2", devices)
    return talk.case()


def gaps(tape: Tape, chosen: int) -> Case:
    """An epoch never seen, and epochs made on an older head: received on, never sent on."""
    talk = Talk(tape, f"gaps in suite {chosen}")
    mine, theirs = first(talk, (2, 1), MASKS[chosen])
    devices = mine + theirs
    talk.epoch("e1", "a1", PAIR)
    talk.epoch("e2", "a1", PAIR)
    talk.take("b1", "e2", PAIR, flags=("GAP",))
    talk.take("a2", "e1", PAIR)
    talk.take("a2", "e2", PAIR)
    talk.exchange(devices, "e2", ["b1", "a2"])
    talk.add("a", "a3", MASKS[chosen][0], by="a1")
    talk.learn(["a1", "a3"], ["a"])
    talk.epoch("e3", "b1", PAIR)
    talk.take("a2", "e3", PAIR)
    talk.take("a1", "e3", PAIR, flags=("STALE",))
    talk.receive(["a1", "a2"], talk.send("b1", "e3"))
    talk.learn(["a2", "b1"], ["a"])
    talk.learn(["a3"], ["b"])
    talk.prekey("a3")
    talk.epoch("e4", "a1", PAIR, reason=1)
    for device in ("a2", "b1"):
        talk.take(device, "e4", PAIR)
    talk.take("a3", "e4", PAIR, flags=("GAP",))
    talk.exchange([*devices, "a3"], "e4", ["a3", "b1"])
    return talk.case()


def alone(tape: Tape, chosen: int) -> Case:
    """The self-pair of a user with two devices."""
    talk = Talk(tape, f"self-pair of 2 devices in suite {chosen}")
    talk.user("a", [MASKS[chosen][0], MASKS[chosen][1]])
    talk.learn(["a1", "a2"], ["a"])
    for device in ("a1", "a2"):
        talk.prekey(device)
    talk.epoch("e0", "a1", ["a"])
    talk.take("a2", "e0", ["a"])
    for sender, reader in (("a1", "a2"), ("a2", "a1"), ("a2", "a1")):
        talk.receive([reader], talk.send(sender, "e0", 7, seen=True, sub=1, data=tape.hex(30)))
    talk.receive(["a1"], talk.send("a2", "e0", 7, sub=7, data=tape.hex(30)))
    rotate(talk, "e1", "a2", ["a1", "a2"], ["a"])
    talk.receive(["a2"], talk.send("a1", "e1", 7, seen=True, sub=2, data=""))
    return talk.case()


def growing(tape: Tape, chosen: int) -> Case:
    """The self-pair of one device has no wraps and no tags; then a second device comes."""
    talk = Talk(tape, f"self-pair that grows in suite {chosen}")
    talk.user("a", [MASKS[chosen][0]])
    talk.learn(["a1"], ["a"])
    talk.prekey("a1")
    talk.epoch("e0", "a1", ["a"])
    talk.send("a1", "e0", 7, seen=True, sub=1, data=tape.hex(30))
    talk.add("a", "a2", MASKS[chosen][1], by="a1")
    talk.learn(["a1", "a2"], ["a"])
    talk.prekey("a2")
    talk.epoch("e1", "a1", ["a"], reason=1)
    talk.take("a2", "e1", ["a"], flags=("GAP",))
    talk.receive(["a2"], talk.send("a1", "e1", 7, seen=True, sub=1, data=tape.hex(30)))
    talk.receive(["a1"], talk.send("a2", "e1", 7, seen=True, sub=1, data=tape.hex(30)))
    return talk.case()


def eight_and_eight(tape: Tape, chosen: int) -> Case:
    """8+8 devices, the largest roster."""
    talk = Talk(tape, f"8+8 devices in suite {chosen}")
    mine, theirs = first(talk, (8, 8), MASKS[chosen])
    devices = mine + theirs
    talk.exchange(devices, "e0", ["a8", "b1"])
    return talk.case()
