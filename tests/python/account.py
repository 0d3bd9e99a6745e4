"""A user with one device: registration, prekeys, contacts and epochs, all over HTTP (PROTOCOL, "Keys").

Invariant: what the server may answer twice is written down before it is asked for. `state` is all
that is kept; `device` is the part of it that `hw1` works on.
"""

import secrets
import time
from pathlib import Path
from typing import Any

import store
from hw1 import acceptance, epoch, keys, prekey, request, suite, xwing
from hw1.acceptance import Accepted, Published
from hw1.device import Device, Held, Pair
from hw1.epoch import Header, Place, PrekeySecret
from hw1.hash import kdf
from hw1.log import GENESIS, ZERO, Body, Log, check_pin, entry_hash, genesis_payload, signed_wire, verify
from hw1.login import login
from hw1.refused import Refused, require
from network import Http, Problem, raw, text

SUITES, DESKTOP = 0b111, 2
WEEK_MS, HALF_DAY_MS = 7 * 86_400_000, 12 * 3_600_000
ATTEMPTS = 3


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def bundle(published: Published) -> dict[str, Any]:
    """A `PrekeyBundle`: without suite 3 there is no field `xwing`."""
    beside = {} if published.xwing is None else {"xwing": published.xwing}
    return {"record": published.record, **beside}


def received(found: dict[str, Any]) -> Published:
    """The same the other way round."""
    return Published(raw(found["record"]), raw(found["xwing"]) if "xwing" in found else None)


class Account:
    def __init__(self, url: str, path: Path) -> None:
        self.http, self.path = Http(url), path
        if path.exists():
            self._use(store.load(path))

    def _use(self, state: dict[str, Any]) -> None:
        self.state = state
        self.device = Device(state["seed"], state["user"], secrets=state["secrets"], epochs=state["epochs"])
        self.device.authors, self.device.skipped = state["authors"], state["skipped"]
        self.device.logs = {user: verify(wires)[0] for user, wires in state["logs"].items()}
        self.fresh = False

    def save(self) -> None:
        self.state["skipped"] = self.device.skipped
        self.state["logs"] = {user: log.wires for user, log in self.device.logs.items()}
        store.save(self.path, self.state)

    # The own account

    def register(self, handle: str) -> None:
        """Again with the same store, it asks for the same once more."""
        if not self.path.exists():
            self._prepare(handle)
        published, me = self.state["prekey"], self.device.logs[self.device.user]
        self.http.ask("POST", "/v1/accounts", {"genesis": me.wires[0], "prekey": bundle(published)})
        self.state["put"] = True
        self.save()

    def _prepare(self, handle: str) -> None:
        domain, seed = self.http.ask("GET", "/v1/server")["domain"], secrets.token_bytes(32)
        key = keys.public_of_seed(seed)
        payload = genesis_payload(domain, handle, key, DESKTOP, SUITES)
        body = Body(GENESIS, 0, ZERO, ZERO, now_ms(), keys.device_id(key), payload)
        wire = signed_wire(body.encode(), b"", seed)
        plain = ("secrets", "epochs", "authors", "records", "owed", "contacts", "asked", "pending", "sn")
        state: dict[str, Any] = {name: {} for name in plain}
        state |= {"seed": seed, "domain": domain, "user": entry_hash(wire), "gen": None, "skipped": []}
        state |= {"logs": {entry_hash(wire): [wire]}, "outbox": [], "mids": {}, "early": [], "history": []}
        self._use(state)
        self._draw_prekey(1)

    def sign_in(self) -> None:
        """A token for HTTP without a socket."""
        asked = self.http.ask("POST", "/v1/auth/challenge")
        require(asked["domain"] == self.state["domain"], "DOMAIN", "signs only where it registered")
        nonce, user = raw(asked["nonce"]), self.device.user
        key_id, _, signature = login(self.device.seed, self.state["domain"], nonce, user)
        answer = {"user": user, "key_id": key_id, "nonce": nonce, "signature": signature}
        self.http.token = raw(self.http.ask("POST", "/v1/auth/token", answer)["token"])

    def _draw_prekey(self, id_: int) -> None:
        """On disk before the server hears of it."""
        mine = PrekeySecret(id_, secrets.token_bytes(32), secrets.token_bytes(32))
        side, day = self.device.logs[self.device.user].side(), prekey.day_of(now_ms())
        beside = xwing.public_of_seed(mine.xwing_seed or b"")
        start = (side.log_id, self.device.id, id_, day, side.seq, side.head, SUITES)
        fields = prekey.Prekey(*start, keys.x_base(mine.x25519), prekey.pq_hash(beside))
        published = Published(fields.record(self.device.seed), beside)
        self.device.secrets[id_] = mine
        self.state |= {"prekey": published, "prekey_id": id_, "put": False}
        self.state["records"][self.device.id, id_] = published
        self.save()

    def put_prekey(self) -> None:
        """A new one once in a run; one that may not have arrived is put again first."""
        if self.fresh:
            return
        if self.state["put"]:
            self._draw_prekey(self.state["prekey_id"] + 1)
        more = True
        while more:
            answer = self.http.ask("PUT", "/v1/prekey", bundle(self.state["prekey"]))
            for owed in answer["unclaimed"]:
                self.state["owed"][raw(owed["epoch"])] = owed["prekey"]
            more = answer.get("more", False)
            for epoch_id in [known for known in self.state["owed"] if known in self.device.epochs]:
                self._claim(epoch_id)
        self.state["put"] = self.fresh = True
        self.save()

    def _claim(self, epoch_id: bytes) -> None:
        """Only after the epoch's chains are on disk."""
        self.http.ask("POST", f"/v1/epochs/{text(epoch_id)}/claimed")
        self.state["owed"].pop(epoch_id, None)

    def _erase_secrets(self) -> None:
        kept = {self.state["prekey_id"], *self.state["owed"].values()}
        for id_ in [id_ for id_ in self.device.secrets if id_ not in kept]:
            del self.device.secrets[id_]
        self.save()

    # Other users

    def look_up(self, user: bytes) -> Log:
        """The newest log and prekeys of a user, verified."""
        self._extend_log(user)
        answer = self.http.ask("GET", f"/v1/users/{text(user)}/prekeys")
        log = self._extend_log(user)
        for found in answer["prekeys"]:
            self._keep_record(log, found)
        self.save()
        return log

    def _extend_log(self, user: bytes) -> Log:
        known = self.device.logs.get(user)
        after = "" if known is None else f"?after={known.seq}"
        entries = self.http.ask("GET", f"/v1/users/{text(user)}/log{after}")["entries"]
        log, wrong = verify([*(known.wires if known else []), *map(raw, entries)])
        require(wrong is None and log.log_id == user, "LOG_INVALID", "the log of another, or not valid")
        if known is not None:
            check_pin(log, known.side())
        self.device.logs[user] = log
        return log

    def _keep_record(self, log: Log, found: dict[str, Any]) -> None:
        published = received(found)
        fields, _ = prekey.parse(published.record)
        prekey.usable(log, published.record, published.xwing, now_ms())
        known = {id_ for device, id_ in self.state["records"] if device == fields.device_id}
        prekey.check_newest(fields, max(known, default=0))
        before = self.state["records"].setdefault((fields.device_id, fields.id), published)
        require(before.record == published.record, "PREKEY_INVALID", "another record under a known id")

    # Contacts

    def ask(self, handle: str) -> None:
        me = self.device.logs[self.device.user]
        made = request.encode(me.side(), bytes(32), handle, secrets.token_bytes(16), now_ms())
        self.state["asked"].setdefault(handle, []).append(made)
        self.save()
        self.http.ask("POST", "/v1/contacts/request", {"request": made})

    def refresh(self) -> None:
        """The list of contacts, and every epoch of it that is not held yet."""
        for found in self.http.ask("GET", "/v1/contacts")["contacts"]:
            peer = raw(found["peer"])
            contact = self.state["contacts"].setdefault(peer, {"open": False})
            contact |= {"state": found["state"], "request": raw(found["request"])}
            contact["handle"] = self.look_up(peer).handle
            if "newest" in found:
                self._open(contact)
                try:
                    self._finish(peer)
                except Problem:
                    del self.state["pending"][peer]
                self._take_up_to(peer, raw(found["newest"]["epoch"]))
        self._erase_secrets()

    def _open(self, contact: dict[str, Any]) -> None:
        """A contact is one if this device asked for it under that name, or accepted it."""
        mine = contact["request"] in self.state["asked"].get(contact["handle"], [])
        contact["open"] = contact["open"] or mine
        require(contact["open"], "PEER_CHANGED", "nobody here asked for this contact or accepted it")

    def accept(self, peer: bytes) -> None:
        """Epoch 0 and the contact in one step."""
        contact = self.state["contacts"][peer]
        self.look_up(peer)
        contact["open"] = True
        asked = request.request_id(contact["request"])
        self._make_epoch(peer, 0, asked, 0, "/v1/contacts/accept", {"request_id": asked})

    # Epochs

    def pair(self, peer: bytes) -> Pair:
        return tuple(sorted((self.device.user, peer)))

    def view(self, peer: bytes) -> acceptance.View:
        asked = {request.request_id(self.state["contacts"][peer]["request"])}
        return self.device.view(self.pair(peer), asked, self.state["records"])

    def _take_up_to(self, peer: bytes, newest: bytes) -> None:
        """In order of n: each is found through the `prev` of the one after it."""
        chain: list[tuple[bytes, dict[str, Any]]] = []
        while newest not in self.device.epochs:
            found = self.http.ask("GET", f"/v1/epochs/{text(newest)}")
            chain.append((newest, found))
            header = epoch.parse(raw(found["header"]))
            if header.n == 0:
                break
            newest = header.prev
        for epoch_id, found in reversed(chain):
            for record in found["prekeys"]:
                published = received(record)
                fields, _ = prekey.parse(published.record)
                self.state["records"].setdefault((fields.device_id, fields.id), published)
            if "wrap" in found:
                self.device.take(self.view(peer), raw(found["header"]), raw(found["wrap"]), now_ms())
                self.save()
                self._claim(epoch_id)

    def current(self, peer: bytes) -> Held:
        """The epoch to send on, made now if the newest may not be used any more (R1 to R3)."""
        for _ in range(ATTEMPTS):
            known = [held for held in self.device.epochs.values() if held.pair == self.pair(peer)]
            held = min(known, key=lambda held: (-held.header.n, held.epoch_id))
            reason = self._due(held)
            if reason == 0:
                return held
            self.look_up(peer)
            try:
                n, prev = held.header.n + 1, held.epoch_id
                self._make_epoch(peer, n, prev, reason, "/v1/epochs", {"peer": peer})
            except Problem as refused:
                if refused.code not in ("epoch_conflict", "epoch_stale", "epoch_roster"):
                    raise
                self.state["pending"].pop(peer, None)
                self.refresh()
        raise Refused("LIMIT", f"no epoch after {ATTEMPTS} attempts")

    def _due(self, held: Held) -> int:
        """The reason for a new epoch, or 0."""
        header, heads = held.header, (held.header.a, held.header.b)
        if held.receive_only or any(self.device.logs[side.log_id].side() != side for side in heads):
            return 1
        newest = {place.device_id: self._record(place.device_id) for place in header.roster}
        if any(place.prekey_id == 0 and newest[place.device_id] for place in header.roster):
            return 1
        age = now_ms() - header.created_ms
        if age >= WEEK_MS or held.chains[self.device.id, 0].next >= 512:
            return 2
        fresher = any((newest[place.device_id] or (0,))[0] > place.prekey_id for place in header.roster)
        return 3 if age >= HALF_DAY_MS and fresher else 0

    def _record(self, device_id: bytes) -> tuple[int, Published] | None:
        """The highest known record of a device, if an epoch made now may use it."""
        known = [(id_, kept) for (device, id_), kept in self.state["records"].items() if device == device_id]
        if not known:
            return None
        id_, found = max(known, key=lambda record: record[0])
        fields, _ = prekey.parse(found.record)
        return (id_, found) if prekey.day_of(now_ms()) - 30 <= fields.day else None

    def _make_epoch(
        self, peer: bytes, n: int, prev: bytes, reason: int, path: str, asked: dict[str, Any]
    ) -> None:
        """Made, on disk as pending, then posted; used once the server has taken it."""
        if peer not in self.state["pending"]:
            key, places, masks = secrets.token_bytes(32), [], []
            sides = [self.device.logs[user].side() for user in self.pair(peer)]
            found = {}
            for number, side in enumerate(sides):
                for device in self.device.logs[side.log_id].devices():
                    record = self._record(device.device_id)
                    places.append(Place(number, device.device_id, record[0] if record else 0))
                    if record:
                        found[device.device_id] = (prekey.parse(record[1].record)[0], record[1].xwing)
                        masks.append(found[device.device_id][0].suites)
            creator = [place.device_id for place in places].index(self.device.id)
            start = (suite.best_common(masks), n, prev, now_ms(), creator, reason)
            header = Header(*start, sides[0], sides[1], kdf(key, "kc"), tuple(places))
            judged = acceptance.judge_own(self.view(peer), header, key)
            body = {"header": header.encode(), "wraps": self._wraps(header, key, found)}
            self.state["pending"][peer] = (self._chains(peer, judged), path, {**asked, "epoch": body})
            self.save()
        self._finish(peer)

    def _chains(self, peer: bytes, judged: Accepted) -> Held:
        """What `hold` keeps, but not among the epochs that are in use."""
        held = self.device.hold(self.pair(peer), judged)
        return self.device.epochs.pop(held.epoch_id)

    def _wraps(self, header: Header, key: bytes, found: dict[bytes, Any]) -> list[dict[str, bytes]]:
        wraps = []
        for device_id in header.wrapped():
            if device_id != self.device.id:
                fields, beside = found[device_id]
                draw = secrets.token_bytes(64 if header.suite == 3 else 32)
                sealed = epoch.seal_wrap(header, key, self.device.seed, fields, beside, draw)
                wraps.append({"device": device_id, "wrap": sealed.wrap})
        return wraps

    def _finish(self, peer: bytes) -> None:
        """Posts what is pending. Posted twice, it is done once."""
        if peer not in self.state["pending"]:
            return
        held, path, body = self.state["pending"][peer]
        self.http.ask("POST", path, body)
        del self.state["pending"][peer]
        self.device.epochs[held.epoch_id] = held
        self.save()
