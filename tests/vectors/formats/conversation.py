"""Kind `conversations`: steps, and the world of devices in which they happen.

Every step is computed again from its inputs; each outcome is what the device's own state gives.
"""

from collections.abc import Callable

from formats import contents, headers, logs, prekeys
from formats.shape import Case, Wrong, b, exactly, maybe_b, n, same
from hw1 import epoch, log, message
from hw1.acceptance import Published
from hw1.content import Content
from hw1.device import Device, Pair
from hw1.epoch import PrekeySecret
from hw1.log import Log
from hw1.refused import Refused

Names = tuple[str, ...]


class Sent:
    """A message under way: what each device would get, and what it should read."""

    def __init__(self, content: Content, deliveries: dict[bytes, bytes]) -> None:
        self.content = content
        self.deliveries = deliveries


class World:
    """Users, devices, and what the server has. `step` carries out one step and completes it."""

    def __init__(self) -> None:
        self.wires: dict[str, list[bytes]] = {}
        self.devices: dict[str, Device] = {}
        self.users: dict[str, str] = {}
        self.requests: dict[Names, set[bytes]] = {}
        self.records: dict[tuple[bytes, int], Published] = {}
        self.epochs: dict[str, tuple[bytes, dict[bytes, bytes]]] = {}
        self.messages: dict[str, Sent] = {}

    def step(self, step: Case) -> Case:
        return STEPS[step["do"]](self, step)

    def log_id(self, user: str) -> bytes:
        return log.entry_hash(self.wires[user][0])

    def pair(self, names: list[str]) -> Pair:
        if names != sorted(set(names)) or len(names) not in (1, 2):
            raise Wrong("pair")
        return tuple(sorted(self.log_id(name) for name in names))

    def full_log(self, user: str) -> Log:
        known, code = log.verify(self.wires.get(user, []))
        if code is not None:
            raise Wrong(f"log of {user}: {code}")
        return known

    def log_step(self, step: Case) -> Case:
        user, known = step["user"], self.full_log(step["user"])
        entry = logs.complete_entry(known, step["entry"])
        known.append(bytes.fromhex(entry["wire"]))
        self.wires[user] = known.wires
        if step["device"] is not None:
            if step["device"] in self.devices:
                raise Wrong("the name is taken")
            seed = b(entry, "signer_seed" if entry["type"] == "genesis" else "new_seed", 32)
            self.devices[step["device"]] = Device(seed, known.log_id)
        return {"do": "log", "user": user, "device": step["device"], "entry": entry}

    def learn(self, step: Case) -> Case:
        known, code = log.verify(self.wires[step["user"]][: n(step, "seq") + 1])
        if code is not None or known.seq != step["seq"]:
            raise Wrong("no such entry")
        self.devices[step["device"]].logs[known.log_id] = known
        return {name: step[name] for name in ("do", "device", "user", "seq")}

    def prekey(self, step: Case) -> Case:
        device = self.devices[step["device"]]
        inputs = {name: step["prekey"][name] for name in prekeys.PREKEYS.inputs}
        made = {**inputs, **prekeys.PREKEYS.compute(inputs)}
        if b(made, "device_seed") != device.seed:
            raise Wrong("not the device's key")
        secret = PrekeySecret(n(made, "id"), b(made, "x25519_secret", 32), maybe_b(made, "xwing_seed", 32))
        device.secrets[secret.id] = secret
        published = Published(b(made, "record"), maybe_b(made, "xwing"))
        self.records[device.id, secret.id] = published
        return {"do": "prekey", "device": step["device"], "prekey": made}

    def erase(self, step: Case) -> Case:
        del self.devices[step["device"]].secrets[n(step, "id")]
        return {name: step[name] for name in ("do", "device", "id")}

    def request(self, step: Case) -> Case:
        inputs = {name: step["request"][name] for name in prekeys.REQUESTS.inputs}
        made = {**inputs, **prekeys.REQUESTS.compute(inputs)}
        self.requests.setdefault(tuple(step["pair"]), set()).add(b(made, "request_id"))
        return {"do": "request", "pair": step["pair"], "request": made}

    def epoch(self, step: Case) -> Case:
        inputs = {name: step["header"][name] for name in headers.FIELDS}
        computed = headers.HEADERS.compute(inputs)
        header, device, tape = headers.header_of(inputs), self.devices[step["by"]], b(step, "tape")
        wrapped = [device_id for device_id in header.wrapped() if device_id != device.id]
        if len(tape) != epoch.tape_size(header.suite, len(wrapped)):
            raise Wrong("size of the tape")
        key, draws = tape[:32], tape[32:]
        view = device.view(
            self.pair(step["pair"]), self.requests.get(tuple(step["pair"]), set()), self.records
        )
        accepted = device.create(view, header, key)
        sealed, size = [], 64 if header.suite == 3 else 32
        for index, device_id in enumerate(wrapped):
            prekey = accepted.prekeys[device_id]
            xwing_key = self.records[device_id, prekey.id].xwing
            draw = draws[index * size : (index + 1) * size]
            sealed.append(epoch.seal_wrap(header, key, device.seed, prekey, xwing_key, draw))
        wraps = [
            {
                "device": self.name(made.device_id),
                "ss": made.ss.hex(),
                "as": made.as_.hex(),
                "wk": made.wk.hex(),
                "wrap": made.wrap.hex(),
            }
            for made in sealed
        ]
        if step["epoch"] in self.epochs:
            raise Wrong("the label is taken")
        self.epochs[step["epoch"]] = header.encode(), {made.device_id: made.wrap for made in sealed}
        chains = [self._chains(key, accepted.epoch_id, device_id) for device_id in header.wrapped()]
        names = {name: step[name] for name in ("do", "epoch", "pair", "by")}
        return {
            **names,
            "header": {**inputs, **computed},
            "tape": step["tape"],
            "wraps": wraps,
            "chains": chains,
        }

    def name(self, device_id: bytes) -> str:
        return next(name for name, device in self.devices.items() if device.id == device_id)

    def _chains(self, key: bytes, epoch_id: bytes, device_id: bytes) -> Case:
        lanes = [epoch.chain_key(key, epoch_id, device_id, lane).hex() for lane in epoch.LANES]
        return {"device": self.name(device_id), "lane0": lanes[0], "lane1": lanes[1]}

    def take(self, step: Case) -> Case:
        device = self.devices[step["device"]]
        if (step["epoch"] is None) == (step["header"] is None) or (step["header"] is None) != (
            step["wrap"] is None
        ):
            raise Wrong("either a label or bytes")
        if step["epoch"] is None:
            header, wrap = b(step, "header"), b(step, "wrap")
        else:
            header, wraps = self.epochs[step["epoch"]]
            wrap = wraps[device.id]
        view = device.view(
            self.pair(step["pair"]), self.requests.get(tuple(step["pair"]), set()), self.records
        )
        expect, flags = "ok", []
        try:
            flags = list(device.take(view, header, wrap, n(step, "now_ms")).flags)
        except Refused as refused:
            expect = refused.code
        names = {name: step[name] for name in ("do", "device", "pair", "epoch", "header", "wrap", "now_ms")}
        return {**names, "expect": expect, "flags": flags}

    def send(self, step: Case) -> Case:
        device, given = self.devices[step["device"]], step["content"]
        made, full = contents.content_of(given), contents.complete_content(given)
        held = device.epochs[epoch.epoch_id(self.epochs[step["epoch"]][0])]
        if device.current(held.pair) is not held:
            raise Wrong("not the sender's current epoch")
        if made.prev_sent != device.prev_sent(held):
            raise Wrong(f"prev_sent is {device.prev_sent(held)}")
        if made.seen and made.seen != device.seen(held):
            raise Wrong(f"seen is {device.seen(held)}")
        lane = n(given, "lane")
        counter = held.chains[device.id, lane].next
        sealed, tags = device.send(held, n(given, "class"), lane, made, b(step, "rnd16", 16))
        deliveries = {
            other: message.delivery(sealed.header, sealed.commit, sealed.ct, tag)
            for other, tag in tags.items()
        }
        if step["message"] in self.messages:
            raise Wrong("the label is taken")
        self.messages[step["message"]] = Sent(made, deliveries)
        names = {name: step[name] for name in ("do", "message", "device", "epoch")}
        return {
            **names,
            "content": full,
            "rnd16": step["rnd16"],
            "counter": counter,
            "header": sealed.header.hex(),
            "sk": sealed.sk.hex(),
            "mk": sealed.mk.hex(),
            "commit": sealed.commit.hex(),
            "ct": sealed.ct.hex(),
            "env": sealed.env.hex(),
            "tags": [{"device": self.name(other), "tag": tag.hex()} for other, tag in tags.items()],
            "upload": message.upload(sealed, list(tags.values())).hex(),
        }

    def skip(self, step: Case) -> Case:
        device, lane = self.devices[step["device"]], n(step, "lane")
        held = device.epochs[epoch.epoch_id(self.epochs[step["epoch"]][0])]
        if not 1 <= n(step, "count") <= 10_000:
            raise Wrong("count")
        held.chains[device.id, lane] = held.chains[device.id, lane].advance(step["count"])
        return {name: step[name] for name in ("do", "device", "epoch", "lane", "count")}

    def receive(self, step: Case) -> Case:
        device = self.devices[step["device"]]
        if (step["message"] is None) == (step["bytes"] is None):
            raise Wrong("either a label or bytes")
        sent = None if step["message"] is None else self.messages[step["message"]]
        data = b(step, "bytes") if sent is None else sent.deliveries[device.id]
        try:
            received = device.receive(data)
            expect = received.outcome
            if sent is not None and received.content not in (None, sent.content):
                raise Wrong("another content than was sent")
        except Refused as refused:
            expect = refused.code
        return {**{name: step[name] for name in ("do", "device", "message", "bytes")}, "expect": expect}


STEPS: dict[str, Callable[[World, Case], Case]] = {
    "log": World.log_step,
    "learn": World.learn,
    "prekey": World.prekey,
    "erase": World.erase,
    "request": World.request,
    "epoch": World.epoch,
    "take": World.take,
    "send": World.send,
    "skip": World.skip,
    "receive": World.receive,
}


def complete(case: Case) -> Case:
    """The case with all computed fields of its steps."""
    world = World()
    return {"name": case["name"], "steps": [world.step(step) for step in case["steps"]]}


def check(case: Case) -> None:
    """Raises unless each step is exactly what it would be completed to."""
    exactly(case, ("name", "steps"))
    world = World()
    for index, step in enumerate(case["steps"]):
        same(f"/steps/{index}", step, world.step(step))
