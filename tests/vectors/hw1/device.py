"""What one device holds, and what it does with an epoch or a message (CRYPTO 5 and 6).

Each action either succeeds and changes the state, or refuses and changes nothing.
"""

from dataclasses import dataclass, field

from hw1 import acceptance, body, chain, content, epoch, keys, message
from hw1.acceptance import Accepted, Published, View
from hw1.chain import Chain
from hw1.content import Content, Dropped
from hw1.epoch import LANES, Header, PrekeySecret
from hw1.log import Log
from hw1.message import Sealed
from hw1.refused import Refused, require

Pair = tuple[bytes, ...]


@dataclass
class Held:
    """An epoch that the device holds, with its chains and tag keys. K is not kept."""

    pair: Pair
    header: Header
    epoch_id: bytes
    receive_only: bool
    chains: dict[tuple[bytes, int], Chain]
    to_others: dict[bytes, bytes]
    from_others: dict[bytes, bytes]


@dataclass(frozen=True)
class Received:
    """A message that was authentic. `outcome` is ok, duplicate or drop."""

    outcome: str
    content: Content | None


@dataclass
class Device:
    """One device of one user."""

    seed: bytes
    user: bytes
    logs: dict[bytes, Log] = field(default_factory=dict)
    secrets: dict[int, PrekeySecret] = field(default_factory=dict)
    epochs: dict[bytes, Held] = field(default_factory=dict)
    authors: dict[bytes, set[bytes]] = field(default_factory=dict)
    skipped: list[tuple[bytes, bytes, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = keys.device_id(keys.public_of_seed(self.seed))

    def view(self, pair: Pair, requests: set[bytes], records: dict[tuple[bytes, int], Published]) -> View:
        known = {held.epoch_id: held.header for held in self.epochs.values() if held.pair == pair}
        return View(self.id, self.user, self.logs, pair, requests, records, self.secrets, known)

    def hold(self, pair: Pair, accepted: Accepted) -> Held:
        """E10: chains and tag keys of an epoch that was accepted, or that this device made."""
        header, key, epoch_id = accepted.header, accepted.key, accepted.epoch_id
        others = [device_id for device_id in header.wrapped() if device_id != self.id]
        chains = {
            (device_id, lane): Chain(epoch.chain_key(key, epoch_id, device_id, lane))
            for device_id in header.wrapped()
            for lane in LANES
        }
        mine, own = self.secrets[accepted.prekeys[self.id].id], keys.x_secret(self.seed)
        to_others, from_others = {}, {}
        for other in others:
            shared = keys.exchange(accepted.prekeys[other].x25519, own)
            to_others[other] = epoch.tag_key(shared, epoch_id, self.id, other)
            shared = keys.exchange(keys.x_public(self._ik(header, other)), mine.x25519)
            from_others[other] = epoch.tag_key(shared, epoch_id, other, self.id)
        receive_only = "STALE" in accepted.flags
        held = Held(pair, header, epoch_id, receive_only, chains, to_others, from_others)
        self.epochs[epoch_id] = held
        return held

    def _ik(self, header: Header, device_id: bytes) -> bytes:
        place = header.roster[header.index(device_id) or 0]
        side = header.b if place.side else header.a
        return self.logs[side.log_id].active[side.seq][device_id].ik

    def take(self, view: View, header: bytes, wrap: bytes, now_ms: int) -> Accepted:
        """Judges an epoch, and holds it."""
        accepted = acceptance.accept(view, header, wrap, now_ms)
        self.hold(view.pair, accepted)
        return accepted

    def create(self, view: View, header: Header, key: bytes) -> Accepted:
        """Checks an epoch that this device makes, and holds it."""
        require(header.creator_device == self.id, "EPOCH_ROSTER", "made by another device")
        accepted = acceptance.judge_own(view, header, key)
        self.hold(view.pair, accepted)
        return accepted

    def current(self, pair: Pair) -> Held:
        """The epoch to send on: the highest n, of siblings the lowest id."""
        usable = [held for held in self.epochs.values() if held.pair == pair and not held.receive_only]
        highest = max(held.header.n for held in usable)
        return min((held for held in usable if held.header.n == highest), key=lambda held: held.epoch_id)

    def prev_sent(self, held: Held) -> int:
        """Lane-0 messages that this device sent in the epoch that the header names as prev."""
        before = self.epochs.get(held.header.prev)
        if before is None or (self.id, 0) not in before.chains:
            return 0
        return before.chains[self.id, 0].next

    def seen(self, held: Held) -> tuple[int, ...]:
        """Contiguous lane-0 counts of the roster; the own slot: sent so far."""
        counts = []
        for place in held.header.roster:
            found = held.chains.get((place.device_id, 0))
            counts.append(0 if found is None else found.contiguous())
        return tuple(counts)

    def send(
        self, held: Held, cls: int, lane: int, made: Content, rnd16: bytes
    ) -> tuple[Sealed, dict[bytes, bytes]]:
        """(the message, its tags by device). The chain goes on."""
        own = held.chains[self.id, lane]
        padded = content.pad(made.encode())
        salt = message.salt(own.ck, rnd16, padded)
        index = held.header.index(self.id)
        assert index is not None
        header = message.Header(cls, index, lane, own.next, held.epoch_id, salt)
        message.parse_header(header.encode())
        sealed = message.seal(held.header.suite, own.ck, header, padded)
        held.chains[self.id, lane] = own.advance()
        self._know(self.user, made.content_id)
        return sealed, {other: message.tag(held.to_others[other], sealed.env) for other in held.to_others}

    def receive(self, data: bytes) -> Received:
        """Judges what was delivered. Refuses with a code, and then nothing has changed."""
        parsed = message.parse_delivery(data)
        held = self.epochs.get(parsed.header.epoch_id)
        if held is None:
            raise Refused("EPOCH_UNKNOWN", "hold")
        header, roster = held.header, held.header.roster
        require(parsed.header.sender < len(roster), "BAD_TAG", "no such sender")
        place = roster[parsed.header.sender]
        require(place.device_id in held.from_others, "BAD_TAG", "no other wrapped device")
        env = message.envelope(parsed.raw, parsed.commit, parsed.ct)
        expected = message.tag(held.from_others[place.device_id], env)
        require(expected == parsed.tag, "BAD_TAG", "tag")
        lane, name = parsed.header.lane, (place.device_id, parsed.header.lane)
        sk, after = held.chains[name].reach(lane, parsed.header.counter)
        padded = message.open_(header.suite, sk, parsed)
        author = (header.b if place.side else header.a).log_id
        received = self._judge(padded, parsed.header, held, author)
        self._keep(held, name, after)
        return received

    def _judge(self, padded: bytes, header: message.Header, held: Held, author: bytes) -> Received:
        try:
            found = content.open_(padded, header.cls, header.lane, len(held.header.roster))
        except Dropped:
            return Received("drop", None)
        if found.type == content.SELF_SYNC and len(held.pair) != 1:
            return Received("drop", None)
        target = body.target(found.type, found.body)
        if target is not None and author not in self.authors.get(target, {author}):
            return Received("drop", None)
        if author in self.authors.get(found.content_id, set()):
            return Received("duplicate", found)
        self._know(author, found.content_id)
        for part in body.part_ids(found.type, found.body):
            self._know(author, part)
        return Received("ok", found)

    def _know(self, author: bytes, content_id: bytes) -> None:
        """Ids are an author's own: two users may use one."""
        self.authors.setdefault(content_id, set()).add(author)

    def _keep(self, held: Held, name: tuple[bytes, int], after: Chain) -> None:
        """The chain after a message; at the cap of skipped keys the oldest go, lane 1 first."""
        before = held.chains[name]
        held.chains[name] = after
        self.skipped += [
            (held.epoch_id, *name, counter) for counter in after.skipped if counter not in before.skipped
        ]
        self.skipped = [
            kept for kept in self.skipped if kept[3] in self.epochs[kept[0]].chains[kept[1:3]].skipped
        ]
        mine = [kept for kept in self.skipped if self.epochs[kept[0]].pair == held.pair]
        mine.sort(key=lambda kept: kept[2] != 1)
        for epoch_id, device_id, lane, counter in mine[: max(0, len(mine) - chain.MAX_SKIPPED)]:
            chains = self.epochs[epoch_id].chains
            chains[device_id, lane] = chains[device_id, lane].give_up(counter)
            self.skipped.remove((epoch_id, device_id, lane, counter))
