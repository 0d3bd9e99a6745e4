"""Writes a conversation: each call is one step, carried out at once by the `World` that verifies them.

Every call that can fail says what it expects; a conversation that goes otherwise is not written.
"""

from typing import Any

from formats.conversation import World
from formats.shape import Case, side_json
from hw1 import epoch, prekey, suite
from hw1.device import Device, Held
from hw1.epoch import Header, Place
from hw1.hash import kdf
from hw1.log import NOBODY
from scenes.tape import Tape

START_MS = 1_795_000_000_000
HOUR_MS = 3_600_000
DAY_MS = prekey.DAY_MS
# The class that each type has when nothing else is asked for.
CLASSES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 16, 6: 17, 7: 17, 8: 17, 9: 18, 10: 18, 11: 1, 12: 17}


class Talk:
    """A conversation under way."""

    def __init__(self, tape: Tape, name: str) -> None:
        self.tape = tape
        self.name = name
        self.world = World()
        self.steps: list[Case] = []
        self.now = START_MS + tape.below(HOUR_MS)
        self.prekeys: dict[str, Case] = {}
        self.count = 0

    def case(self) -> Case:
        return {"name": self.name, "steps": self.steps}

    def do(self, step: Case) -> Case:
        done = self.world.step(step)
        self.steps.append(done)
        self.now += 1000 + self.tape.below(60_000)
        return done

    def device(self, name: str) -> Device:
        return self.world.devices[name]

    # Logs

    def user(self, user: str, masks: list[int]) -> None:
        """A user with one device for each mask of suites: a1, a2, ..."""
        names = {"domain": "chat.example", "handle": {"a": "alice", "b": "bob"}.get(user, "carol")}
        self.entry(
            user, f"{user}1", type="genesis", signer_seed=self.tape.hex(32), kind=1, suites=masks[0], **names
        )
        for number, mask in enumerate(masks[1:], 2):
            self.add(user, f"{user}{number}", mask, by=f"{user}1")

    def entry(self, user: str, device: str | None, **fields: Any) -> Case:
        entry = {"time_ms": self.now, **fields}
        return self.do({"do": "log", "user": user, "device": device, "entry": entry})

    def add(self, user: str, device: str, mask: int, by: str) -> None:
        kind, seed = 1 + self.tape.below(4), self.device(by).seed.hex()
        self.entry(
            user, device, type="add", signer_seed=seed, new_seed=self.tape.hex(32), kind=kind, suites=mask
        )

    def revoke(self, user: str, devices: list[str], by: str) -> None:
        ids, seed = [self.device(name).id.hex() for name in devices], self.device(by).seed.hex()
        self.entry(user, None, type="revoke", signer_seed=seed, devices=ids, reason=0)

    def learn(self, devices: list[str], users: list[str]) -> None:
        """The devices know the whole logs of the users."""
        for device in devices:
            for user in users:
                seq = len(self.world.wires[user]) - 1
                self.do({"do": "learn", "device": device, "user": user, "seq": seq})

    def prekey(self, device: str, day_ms: int | None = None, suites: int | None = None) -> None:
        """The device's next prekey, with its newest known own head as evidence."""
        me = self.device(device)
        known, before = me.logs[me.user], self.prekeys.get(device)
        mask = known.active[-1][me.id].suites if suites is None else suites
        fields = {
            "device_seed": me.seed.hex(),
            "log_id": me.user.hex(),
            "id": before["id"] + 1 if before else 1,
            "day": prekey.day_of(self.now if day_ms is None else day_ms),
            "log_seq": known.seq,
            "log_head": known.heads[-1].hex(),
            "suites": mask,
            "x25519_secret": self.tape.hex(32),
            "xwing_seed": self.tape.hex(32) if mask & suite.bit(3) else None,
        }
        self.prekeys[device] = self.do({"do": "prekey", "device": device, "prekey": fields})["prekey"]

    def request(self, asker: str, pair: list[str], handle: str, to: bytes = bytes(32)) -> str:
        """The id of a request by a device's user."""
        side = self.device(asker).logs[self.device(asker).user].side()
        fields = {
            **side_json(side),
            "to": to.hex(),
            "handle": handle,
            "nonce": self.tape.hex(16),
            "time_ms": self.now,
        }
        done = self.do({"do": "request", "pair": pair, "request": fields})
        return str(done["request"]["request_id"])

    # Epochs

    def header(
        self, by: str, pair: list[str], key: bytes, stale: tuple[str, ...] = (), **changes: Any
    ) -> Header:
        """The header that the device would make now; `changes` are other values of its fields."""
        me, ids = self.device(by), self.world.pair(pair)
        known = [held for held in me.epochs.values() if held.pair == ids]
        before = min(known, key=lambda held: (-held.header.n, held.epoch_id), default=None)
        sides = [me.logs[log_id].side() for log_id in ids]
        places, masks = [], []
        for number, log_id in enumerate(ids):
            for device in me.logs[log_id].devices():
                name = self.world.name(device.device_id)
                newest = self.prekeys.get(name)
                if newest is None or name in stale:
                    places.append(Place(number, device.device_id, 0))
                    continue
                places.append(Place(number, device.device_id, newest["id"]))
                masks.append(newest["suites"])
        fields = {
            "suite": suite.best_common(masks),
            "n": 0 if before is None else before.header.n + 1,
            "prev": bytes(32) if before is None else before.epoch_id,
            "created_ms": self.now,
            "creator": [place.device_id for place in places].index(me.id),
            "reason": 0 if before is None else 3,
            "a": sides[0],
            "b": sides[1] if len(sides) > 1 else NOBODY,
            "kc": kdf(key, "kc"),
            "roster": tuple(places),
        }
        return Header(**{**fields, **changes})

    def epoch(self, label: str, by: str, pair: list[str], **changes: Any) -> str:
        """An epoch, and its id."""
        key = self.tape.b(32)
        header = self.header(by, pair, key, **changes)
        wraps = len(header.wrapped()) - 1
        tape = key + self.tape.b(epoch.tape_size(header.suite, wraps) - 32)
        step = {"do": "epoch", "epoch": label, "pair": pair, "by": by, "header": header_json(header)}
        return str(self.do({**step, "tape": tape.hex()})["header"]["epoch_id"])

    def take(
        self, device: str, label: str, pair: list[str], expect: str = "ok", flags: tuple[str, ...] = ()
    ) -> None:
        self._taken(device, pair, {"epoch": label, "header": None, "wrap": None}, expect, flags)

    def take_bytes(
        self,
        device: str,
        pair: list[str],
        header: bytes,
        wrap: bytes,
        expect: str,
        flags: tuple[str, ...] = (),
    ) -> None:
        """An epoch that somebody hostile made."""
        self._taken(device, pair, {"epoch": None, "header": header.hex(), "wrap": wrap.hex()}, expect, flags)

    def _taken(self, device: str, pair: list[str], what: Case, expect: str, flags: tuple[str, ...]) -> None:
        done = self.do({"do": "take", "device": device, "pair": pair, **what, "now_ms": self.now})
        found = (done["expect"], tuple(done["flags"]))
        assert found == (expect, flags), f"{self.name}: {device} takes {what['epoch']}: {found}"

    def wrap(self, header: Header, key: bytes, creator_seed: bytes, to: str) -> bytes:
        """A wrap for one device, whoever makes it."""
        published = self.prekeys[to]
        fields, _ = prekey.parse(bytes.fromhex(published["record"]))
        xwing_key = bytes.fromhex(published["xwing"]) if published["xwing"] else None
        draw = self.tape.b(64 if header.suite == 3 else 32)
        return epoch.seal_wrap(header, key, creator_seed, fields, xwing_key, draw).wrap

    # Messages

    def content(self, device: str, label: str, type_: int = 1, seen: bool = False, **fields: Any) -> Case:
        """A content as the device would make it: a text if nothing else is said."""
        me, held = self.device(device), self.held(device, label)
        counts = list(me.seen(held)) if seen else []
        content_id = fields.pop("content_id", None) or self.tape.hex(16)
        cls, lane = fields.pop("cls", CLASSES[type_]), fields.pop("lane", 1 if type_ in (5, 8) else 0)
        if type_ == 1 and not fields:
            fields = {"reply_to": bytes(16).hex(), "text": self.tape.words(1 + self.tape.below(20))}
        start = {"type": type_, "class": cls, "lane": lane, "content_id": content_id, "sent_ms": self.now}
        return {**start, "prev_sent": me.prev_sent(held), "seen": counts, "fields": fields}

    def held(self, device: str, label: str) -> Held:
        return self.device(device).epochs[epoch.epoch_id(self.world.epochs[label][0])]

    def send(self, device: str, label: str, type_: int = 1, seen: bool = False, **fields: Any) -> str:
        """The label of a message."""
        self.count += 1
        name, made = f"m{self.count}", self.content(device, label, type_, seen, **fields)
        step = {"do": "send", "message": name, "device": device, "epoch": label}
        self.do({**step, "content": made, "rnd16": self.tape.hex(16)})
        return name

    def sent(self, name: str) -> Case:
        """The step of a message."""
        return next(step for step in self.steps if step["do"] == "send" and step["message"] == name)

    def skip(self, device: str, label: str, count: int, lane: int = 0) -> None:
        self.do({"do": "skip", "device": device, "epoch": label, "lane": lane, "count": count})

    def receive(self, devices: list[str], name: str, expect: str = "ok") -> None:
        for device in devices:
            self._received({"device": device, "message": name, "bytes": None}, expect)

    def receive_bytes(self, device: str, data: bytes, expect: str) -> None:
        """A message from somebody hostile."""
        self._received({"device": device, "message": None, "bytes": data.hex()}, expect)

    def _received(self, what: Case, expect: str) -> None:
        done = self.do({"do": "receive", **what})
        assert done["expect"] == expect, f"{self.name}: {what['device']}, {what['message']}: {done['expect']}"

    def exchange(self, devices: list[str], label: str, senders: list[str]) -> list[str]:
        """A text of each sender, read by all others."""
        names = []
        for sender in senders:
            names.append(self.send(sender, label, seen=self.tape.below(2) == 1))
            self.receive([device for device in devices if device != sender], names[-1])
        return names


def header_json(header: Header) -> Case:
    """The fields of a header as inputs."""
    plain = {name: getattr(header, name) for name in ("suite", "n", "created_ms", "creator", "reason")}
    roster = [
        {"side": place.side, "device_id": place.device_id.hex(), "prekey_id": place.prekey_id}
        for place in header.roster
    ]
    sides = {"a": side_json(header.a), "b": side_json(header.b)}
    return {**plain, "prev": header.prev.hex(), **sides, "kc": header.kc.hex(), "roster": roster}
