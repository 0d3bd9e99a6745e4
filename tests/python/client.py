"""A client of one device in Python, written from docs/PROTOCOL.md and docs/CRYPTO.md alone.

It shows what a client must keep and when: register, ask, accept, talk both ways, survive a cut
connection and a restart. One thread: `wait` reads frames until what was asked for is there. Left
out: second devices, self-sync, files, calls, and the closing of old epochs.

    client.py --store alice.json --url http://127.0.0.1:8080 register alice
    client.py --store alice.json --url ... ask bob
    client.py --store bob.json --url ... accept alice
    client.py --store alice.json --url ... say bob "hello"      # until it is delivered
    client.py --store bob.json --url ... read alice 1           # until one text is there
"""

import argparse
import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vectors"))

from websockets.exceptions import ConnectionClosed, InvalidHandshake  # noqa: E402

from account import Account, now_ms  # noqa: E402
from hw1 import body, content, message  # noqa: E402
from hw1.login import login  # noqa: E402
from hw1.refused import MALFORMED, Refused, require  # noqa: E402
from network import SECONDS, Problem, Socket, raw  # noqa: E402

TEXT, TEXT_CLASS, DURABLE = 1, 1, 0
MONTH_MS = 31 * 86_400_000
# Closes after which the same client may come back by itself; none is a lost connection.
COME_BACK = (1000, 1012, 1013, 4408, 4410, 4429)
# After these a new number, counter and mid; after the others of "Rejects" a person decides.
ENCRYPT_AGAIN = ("epoch_stale", "counter_reuse")
SENT_AT_ONCE = 8


class Client(Account):
    def __init__(self, url: str, path: Path, encoding: str = "json") -> None:
        super().__init__(url, path)
        self.url, self.encoding = url, encoding
        self.socket: Socket | None = None
        self.asked: dict[int, dict[str, Any]] = {}
        self.next_id = 1

    # The connection

    def connect(self) -> None:
        """Signs in, then does what "Keys" asks for; what was not answered goes out again."""
        self.socket = Socket(self.url, self.encoding)
        self.asked, self.again_at, self.resyncing = {}, {}, None
        _, op, challenge = self.socket.receive(SECONDS)
        require(op == "challenge" and challenge["domain"] == self.state["domain"], "DOMAIN", "another server")
        key_id, _, signature = login(
            self.device.seed, self.state["domain"], raw(challenge["nonce"]), self.device.user
        )
        hello = {"user": self.device.user, "device": key_id, "signature": signature}
        seen = {} if self.state["gen"] is None else {"gen": self.state["gen"]}
        self.socket.send("hello", {**hello, **seen, "client": "python 1", "features": []})
        _, op, welcome = self.socket.receive(SECONDS)
        require(op == "welcome", "WELCOME", f"the server says {op}")
        self.http.token = raw(welcome["token"])
        self._see_generation(raw(welcome["gen"]))
        self.put_prekey()
        self.refresh()

    def come_back(self, after: float | None = None) -> None:
        """When the server said so; else half a second at first, up to 20 s, jittered."""
        delay = 0.5
        while True:
            time.sleep(delay * random.uniform(0.5, 1.0) if after is None else after + random.uniform(0, 0.5))
            after = None
            try:
                return self.connect()
            except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                delay = min(2 * delay, 20.0)

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Until `done`. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not done():
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {seconds} s")
            try:
                if self.socket is None:
                    self.connect()
                else:
                    self.transmit()
                    self.step(min(left, self._next_due()))
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code not in COME_BACK:
                    raise
                self.come_back(after_ms(closed))
            except OSError as lost:
                if isinstance(lost, TimeoutError):
                    raise
                self.come_back()

    def step(self, seconds: float) -> None:
        """One frame, if one comes."""
        assert self.socket is not None
        try:
            id_, op, fields = self.socket.receive(seconds)
        except TimeoutError:
            return
        handler = getattr(self, f"on_{op}", None)
        if handler is not None:
            handler(id_, fields)

    def request(self, op: str, fields: dict[str, Any], about: dict[str, Any]) -> None:
        assert self.socket is not None
        id_, self.next_id = self.next_id, self.next_id + 1
        self.asked[id_] = about
        self.socket.send(op, fields, id_)

    def is_asking(self, what: str) -> bool:
        return any(what in about for about in self.asked.values())

    # Sending

    def say(self, handle: str, words: str) -> dict[str, Any]:
        """On disk before anything leaves."""
        [peer] = [peer for peer, contact in self.state["contacts"].items() if contact["handle"] == handle]
        sn = self.state["sn"][peer] = self.state["sn"].get(peer, 0) + 1
        fresh = {"upload": None, "accepted": False, "delivered": [], "waiting": [], "mids": [], "stopped": None}
        entry = {"peer": peer, "sn": sn, "id": secrets.token_bytes(16), "text": words, **fresh}
        self.state["outbox"].append(entry)
        self.save()
        return entry

    def encrypt(self, entry: dict[str, Any]) -> None:
        """Chain and bytes go to the disk together: the same key never seals two things."""
        held = self.current(entry["peer"])
        fields = body.encode(TEXT, {"reply_to": bytes(16), "text": entry["text"]})
        seen, before = self.device.seen(held), self.device.prev_sent(held)
        made = content.Content(TEXT, entry["id"], now_ms(), before, seen, fields)
        sealed, tags = self.device.send(held, TEXT_CLASS, DURABLE, made, secrets.token_bytes(16))
        targets = [device_id for device_id in held.header.wrapped() if device_id != self.device.id]
        upload = message.upload(sealed, [tags[device_id] for device_id in targets])
        entry |= {"upload": upload, "epoch": held.epoch_id, "waiting": targets}
        entry["mids"].append(sealed.header[40:])
        self.save()

    def transmit(self) -> None:
        """The oldest unaccepted message of each recipient, at most eight at once."""
        busy = {about["entry"]["peer"] for about in self.asked.values() if "entry" in about}
        for entry in self.state["outbox"]:
            open_ = not entry["accepted"] and entry["stopped"] is None
            if not open_ or entry["peer"] in busy or len(busy) >= SENT_AT_ONCE:
                continue
            busy.add(entry["peer"])
            if time.monotonic() < self.again_at.get(entry["peer"], 0.0):
                continue
            again = self.resyncing is not None and entry.get("re") == self.resyncing
            if self.resyncing is not None and not again:
                continue
            if entry["upload"] is None or (again and entry["epoch"] != self.current(entry["peer"]).epoch_id):
                self.encrypt(entry)
            self.transmit_one(entry)
        left = any(entry.get("re") for entry in self.state["outbox"] if not entry["accepted"])
        if self.resyncing is not None and not left and not self.is_asking("resynced"):
            self.request("resynced", {"gen": self.resyncing}, {"resynced": self.resyncing})

    def transmit_one(self, entry: dict[str, Any]) -> None:
        again = {"re": entry["re"]} if entry.get("re") else {}
        fields = {"to": entry["peer"], "sn": entry["sn"], "upload": entry["upload"], **again}
        self.request("send", fields, {"entry": entry})

    def _next_due(self) -> float:
        now = time.monotonic()
        return min((at - now for at in self.again_at.values() if at > now), default=SECONDS)

    def on_accepted(self, id_: int | None, fields: dict[str, Any]) -> None:
        entry = self.asked.pop(id_ or 0)["entry"]
        self._accept(entry, fields)

    def _accept(self, entry: dict[str, Any], answer: dict[str, Any]) -> None:
        skipped = [raw(skip["device"]) for skip in answer["skipped"]]
        entry["accepted"], entry["re"] = True, None
        entry["waiting"] = [device_id for device_id in entry["waiting"] if device_id not in skipped]
        for device_id in answer["delivered"]:
            self._delivered(raw(answer["mid"]), raw(device_id))
        self.save()

    def _delivered(self, mid: bytes, device_id: bytes) -> None:
        """Once every target has it, or never will, the bytes may go; the record of it stays."""
        for entry in self.state["outbox"]:
            if mid in entry["mids"] and device_id in entry["waiting"]:
                entry["waiting"].remove(device_id)
                entry["delivered"].append(device_id)

    def on_reject(self, id_: int | None, fields: dict[str, Any]) -> None:
        about = self.asked.pop(id_ or 0, {})
        [(name, why)] = fields.items()
        if "entry" not in about:
            raise Refused(name, f"{why}")
        entry = about["entry"]
        if "retry_after_ms" in why:
            self.again_at[entry["peer"]] = time.monotonic() + why["retry_after_ms"] / 1000
        elif name == "stale_sn" and raw(why["mid"]) in entry["mids"] and why.get("answer"):
            self._accept(entry, why["answer"])
        elif name == "stale_sn":
            self.state["sn"][entry["peer"]] = max(self.state["sn"][entry["peer"]], why["last_sn"])
            self._renew(entry)
        elif name in ENCRYPT_AGAIN:
            self.refresh()
            self._renew(entry)
        else:
            entry["stopped"] = name
            self.save()

    def _renew(self, entry: dict[str, Any]) -> None:
        """The same content under a new number; what comes after it keeps its order, and is renumbered too."""
        for later in self.state["outbox"]:
            if later["peer"] == entry["peer"] and not later["accepted"] and later["sn"] >= entry["sn"]:
                self.state["sn"][entry["peer"]] += 1
                later |= {"sn": self.state["sn"][entry["peer"]], "upload": None}
        self.save()

    # The queue store's generations

    def _see_generation(self, gen: bytes) -> None:
        """Another than before: what was accepted and has not arrived goes out again, oldest first."""
        if self.state["gen"] is None:
            self.state["gen"] = gen
        elif self.state["gen"] != gen:
            self.resyncing = gen
            for entry in self.state["outbox"]:
                if entry["accepted"] and entry["waiting"]:
                    entry |= {"accepted": False, "re": gen}
        self.save()

    def on_resync(self, _: int | None, fields: dict[str, Any]) -> None:
        self._see_generation(raw(fields["gen"]))

    def on_ok(self, id_: int | None, _: dict[str, Any]) -> None:
        about = self.asked.pop(id_ or 0)
        if "resynced" in about:
            self.state["gen"], self.resyncing = about["resynced"], None
            self.save()
        else:
            self._show_early()

    # Receiving

    def on_message(self, _: int | None, fields: dict[str, Any]) -> None:
        """Persisted, then acknowledged."""
        failed = self.take(fields)
        self.save()
        self.acknowledge(fields["n"], failed)

    def take(self, fields: dict[str, Any]) -> str | None:
        """The code of a failure, if it is one."""
        data = raw(fields["msg"])
        name = (raw(fields["from_device"]), data[40:56])
        if name in self.state["mids"]:
            return None
        try:
            if len(data) >= message.HEADER and data[8:40] not in self.device.epochs:
                self.refresh()
            self.check_sender(fields, data)
            received = self.device.receive(data)
        except Refused as refused:
            if refused.code == "EPOCH_UNKNOWN":
                self.state["early"].append({"sealed": fields})
                return None
            return "BAD_CONTENT" if refused.code == MALFORMED else refused.code
        self.state["mids"] = {kept: at for kept, at in self.state["mids"].items() if at > now_ms() - MONTH_MS}
        self.state["mids"][name] = now_ms()
        if received.outcome == "ok" and received.content is not None and received.content.type == TEXT:
            self._keep(raw(fields["peer"]), data, name[0], received.content)
        return None

    def check_sender(self, fields: dict[str, Any], data: bytes) -> None:
        """What the server says of the sender is what the epoch says."""
        parsed = message.parse_delivery(data).header
        held = self.device.epochs.get(parsed.epoch_id)
        if held is None:
            return
        require(held.pair == self.pair(raw(fields["peer"])), "BAD_TAG", "an epoch of another pair")
        require(parsed.sender < len(held.header.roster), "BAD_TAG", "no such sender")
        place = held.header.roster[parsed.sender]
        said = (raw(fields["from_user"]), raw(fields["from_device"]))
        require((held.pair[place.side], place.device_id) == said, "BAD_TAG", "another sender")

    def _keep(self, peer: bytes, data: bytes, device_id: bytes, found: content.Content) -> None:
        """Shown at once, or after `sync` if an earlier one of that device is missing."""
        parsed = message.parse_delivery(data).header
        line = {"peer": peer, "id": found.content_id, "text": found.body[16:].decode()}
        line |= {"epoch": parsed.epoch_id, "device": device_id, "counter": parsed.counter}
        self.state["early"].append(line)
        self._show_early(whole=False)
        if any("text" in kept for kept in self.state["early"]) and not self.is_asking("sync"):
            self.request("sync", {}, {"sync": True})

    def _show_early(self, whole: bool = True) -> None:
        """What has no gap before it any more; all of it if the queue has said that nothing more comes."""
        kept, self.state["early"] = self.state["early"], []
        for line in kept:
            if "sealed" in line:
                self.state["early"].append(line)
                continue
            chain = self.device.epochs[line["epoch"]].chains[line["device"], DURABLE]
            shown = whole or line["counter"] < chain.contiguous()
            self.state["history" if shown else "early"].append(line)
        self.save()

    def acknowledge(self, n: int, failed: str | None = None) -> None:
        assert self.socket is not None
        listed = {"failed": [{"n": n, "code": failed}]} if failed else {}
        self.socket.send("ack", {"n": n, **listed})

    def on_notice(self, _: int | None, fields: dict[str, Any]) -> None:
        [(kind, what)] = fields["what"].items()
        if kind == "delivered":
            self._delivered(raw(what["mid"]), raw(what["device"]))
        for entry in self.state["outbox"] if kind in ("expired", "undecryptable") else ():
            if raw(what["mid"]) in entry["mids"] and raw(what["device"]) in entry["waiting"]:
                entry["waiting"].remove(raw(what["device"]))
        self.save()
        self.acknowledge(fields["n"])

    def on_event(self, _: int | None, fields: dict[str, Any]) -> None:
        if fields["kind"] == "prekey":
            self.look_up(raw(fields["peer"]))
        else:
            self.refresh()
        for line in [line for line in self.state["early"] if "sealed" in line]:
            self.state["early"].remove(line)
            self.take(line["sealed"])
        self.save()

    # What a person asks for

    def peer(self, handle: str, state: str) -> bytes | None:
        for peer, contact in self.state["contacts"].items():
            if (contact["handle"], contact["state"]) == (handle, state):
                return bytes(peer)
        return None

    def texts(self, handle: str) -> list[str]:
        contacts = self.state["contacts"]
        return [line["text"] for line in self.state["history"] if contacts[line["peer"]]["handle"] == handle]


def after_ms(closed: ConnectionClosed) -> float | None:
    """Seconds until the server wants to see this client again, if it said so."""
    try:
        found = json.loads(closed.rcvd.reason if closed.rcvd else "{}").get("after_ms")
    except ValueError:
        return None
    return None if found is None else min(found, 60_000) / 1000


def run(client: Client, words: list[str], seconds: float) -> Any:
    match words:
        case ["register", handle]:
            client.register(handle)
            return {"user": client.device.user.hex()}
        case ["ask", handle]:
            client.sign_in()
            client.ask(handle)
        case ["accept", handle]:
            client.wait(lambda: client.peer(handle, "requested") is not None, seconds)
            client.accept(client.peer(handle, "requested") or b"")
        case ["say", handle, text]:
            client.wait(lambda: client.peer(handle, "active") is not None, seconds)
            entry = client.say(handle, text)
            client.wait(lambda: bool(entry["accepted"] or entry["stopped"]), seconds)
            print(json.dumps({"accepted": entry["accepted"]}), flush=True)
            client.wait(lambda: bool(entry["delivered"] or entry["stopped"]), seconds)
            return {"delivered": bool(entry["delivered"]), "stopped": entry["stopped"]}
        case ["read", handle, count]:
            client.wait(lambda: len(client.texts(handle)) >= int(count), seconds)
            return {"texts": client.texts(handle)}
        case _:
            raise SystemExit(f"unknown: {words}")
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description="A client of one device.")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--encoding", choices=["json", "cbor"], default="json")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args()
    client = Client(asked.url, asked.store, asked.encoding)
    print(json.dumps(run(client, asked.words, asked.seconds)))
    if client.socket is not None:
        client.socket.close()


if __name__ == "__main__":
    main()
