"""Messages that are refused (CRYPTO 6), whoever made them: the network, a member, the sender itself."""

from typing import Any

from formats.shape import Case
from hw1 import content, message
from hw1.content import Content
from hw1.hash import kdf
from hw1.layout import v32
from hw1.message import Header
from hw1.suite import seal
from scenes.talk import Talk
from scenes.talks import MASKS, PAIR, first
from scenes.tape import Tape

UNPAIRED = ((0, 0), (7, 0), (15, 0), (16, 0), (19, 0), (255, 0), (1, 1), (4, 1), (18, 1))


class Messages(Talk):
    """A conversation in which b1 knows all that a member knows, and uses it on a1."""

    def start(self, chosen: int) -> "Messages":
        first(self, (2, 2), MASKS[chosen])
        return self

    def padded(self, type_: int = 1, body: bytes | None = None) -> bytes:
        data = bytes(16) + self.tape.words(5).encode() if body is None else body
        return content.pad(Content(type_, self.tape.b(16), self.now, 0, (), data).encode())

    def craft(
        self,
        padded: bytes,
        cls: int = 1,
        lane: int = 0,
        ahead: int = 0,
        sender: str | None = None,
        commit: bytes | None = None,
        ct_key: bytes | None = None,
        maker: str = "b1",
        label: str = "e0",
    ) -> bytes:
        """What the maker delivers to a1: the next message of its chain, or one that is `ahead` of it."""
        member, held = self.device(maker), self.held(maker, label)
        chain = held.chains[member.id, lane].advance(ahead)
        salt = message.salt(chain.ck, self.tape.b(16), padded)
        index = held.header.index(self.device(sender or maker).id) or 0
        header = Header(cls, index, lane, chain.next, held.epoch_id, salt)
        made = message.seal(held.header.suite, chain.ck, header, padded)
        commit = made.commit if commit is None else commit
        ct = made.ct if ct_key is None else seal(held.header.suite, ct_key, padded)
        env = message.envelope(made.header, commit, ct)
        tag = message.tag(held.to_others[self.device("a1").id], env)
        return message.delivery(made.header, commit, ct, tag)


def network(tape: Tape, chosen: int) -> Case:
    """Any bit, any other tag, any other recipient."""
    talk = Messages(tape, f"network in suite {chosen}").start(chosen)
    name = talk.send("b1", "e0")
    sent = talk.world.messages[name].deliveries
    data, other = sent[talk.device("a1").id], sent[talk.device("a2").id]

    def flipped(at: int, bit: int = 1) -> bytes:
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    places = {"sender": 2, "counter": 7, "salt": 55, "commit": 56, "commit end": 87}
    for at in (*places.values(), 92, len(data) - 17, len(data) - 16, len(data) - 1):
        talk.receive_bytes("a1", flipped(at), "BAD_TAG")
    talk.receive_bytes("a1", flipped(8), "EPOCH_UNKNOWN")
    talk.receive_bytes("a1", flipped(0, 3), "MALFORMED")
    # Another class of lane 0 is parsed; class 0 and lane 1 are not, and lane 1 is where class 17 has it.
    talk.receive_bytes("a1", flipped(1, 3), "BAD_TAG")
    for at, bit in ((1, 1), (3, 1), (3, 2)):
        talk.receive_bytes("a1", flipped(at, bit), "MALFORMED")
    profile = talk.send("b1", "e0", 12, display_name="Bob")
    shown = talk.world.messages[profile].deliveries[talk.device("a1").id]
    talk.receive_bytes("a1", shown[:3] + b"\1" + shown[4:], "BAD_TAG")
    for cut in (data[:-1], data + b"\0", data[:56], b"", flipped(91)):
        talk.receive_bytes("a1", cut, "MALFORMED")
    talk.receive_bytes("a1", other, "BAD_TAG")
    talk.receive_bytes("a1", data[:-16] + bytes(16), "BAD_TAG")
    talk.receive_bytes("a1", data[:2] + b"\x0f" + data[3:], "BAD_TAG")
    # A message comes back to who sent it, or to a device it was not for.
    mine = talk.send("a1", "e0")
    for delivered in talk.world.messages[mine].deliveries.values():
        talk.receive_bytes("a1", delivered, "BAD_TAG")
    talk.receive(["a1", "a2", "b2"], name)
    talk.receive(["a1", "a2", "b2"], profile)
    talk.receive(["a2", "b1", "b2"], mine)
    talk.receive(["a1"], name, "REPLAY")
    return talk.case()


def member(tape: Tape, chosen: int) -> Case:
    """The sender itself, who has the keys: commitment, AEAD, content, another's name."""
    talk = Messages(tape, f"member in suite {chosen}").start(chosen)
    good = talk.padded()
    mk = tape.b(32)
    talk.receive_bytes("a1", talk.craft(good, commit=tape.b(32)), "BAD_COMMIT")
    talk.receive_bytes(
        "a1", talk.craft(good, commit=kdf(mk, "commit", bytes(56)), ct_key=kdf(mk, "enc")), "BAD_COMMIT"
    )
    talk.receive_bytes("a1", talk.craft(good, ct_key=tape.b(32)), "BAD_AEAD")
    talk.receive_bytes("a1", talk.craft(good, sender="b2"), "BAD_TAG")
    talk.receive_bytes("a1", talk.craft(good, sender="a2"), "BAD_TAG")
    talk.receive_bytes("a1", talk.craft(good, sender="a1"), "BAD_TAG")
    talk.receive_bytes("a1", talk.craft(b"\2" + good[1:]), "BAD_CONTENT")
    talk.receive_bytes("a1", talk.craft(good[:-1] + b"\1"), "BAD_CONTENT")
    talk.receive_bytes("a1", talk.craft(talk.padded(1, bytes(16) + b"\xff")), "BAD_CONTENT")
    talk.receive_bytes("a1", talk.craft(talk.padded(8, b"\2"), cls=17, lane=1), "BAD_CONTENT")
    # Classes and lanes that no header has, sealed and tagged as they should be.
    for cls, lane in UNPAIRED:
        talk.receive_bytes("a1", talk.craft(good, cls=cls, lane=lane), "MALFORMED")
    # Nothing of it has used the counter.
    talk.receive(["a1", "a2", "b2"], talk.send("b1", "e0"))
    return talk.case()


def dropped(tape: Tape, chosen: int) -> Case:
    """Authentic, and not shown: wrong class, unknown type, another's message, the same content again."""
    talk = Messages(tape, f"dropped in suite {chosen}").start(chosen)
    mine, theirs = talk.send("a1", "e0"), talk.send("b1", "e0")
    talk.receive(["a2", "b1", "b2"], mine)
    talk.receive(["a1", "a2", "b2"], theirs)
    target, own = (talk.sent(name)["content"]["content_id"] for name in (mine, theirs))
    edits: tuple[tuple[int, dict[str, Any]], ...] = ((2, {"rev": 1, "text": "not mine"}), (3, {}))
    for type_, fields in edits:
        talk.receive(["a1", "a2", "b2"], talk.send("b1", "e0", type_, target=target, **fields), "drop")
        talk.receive(["a1", "a2", "b1"], talk.send("b2", "e0", type_, target=own, **fields))
    talk.receive(["a1"], talk.send("b1", "e0", cls=17), "drop")
    talk.receive(["a1"], talk.send("b1", "e0", 8, on=1, lane=0), "drop")
    late: dict[str, Any] = {"reply_to": bytes(16).hex(), "text": "late"}
    talk.receive(["a1"], talk.send("b1", "e0", cls=17, lane=1, **late), "drop")
    # What is said to one's own devices, in a pair of two users: by the other one, by oneself.
    talk.receive(["a1", "a2", "b2"], talk.send("b1", "e0", 7, sub=1, data=tape.hex(20)), "drop")
    talk.receive(["a1"], talk.send("a2", "e0", 7, sub=1, data=""), "drop")
    again = talk.sent(theirs)["content"]
    name = talk.send("b1", "e0", content_id=own, **again["fields"])
    talk.receive(["a1", "a2", "b2"], name, "duplicate")
    talk.receive(["a1"], name, "REPLAY")
    # The id of another user's message is the other user's alone.
    talk.receive(["a1", "a2", "b2"], talk.send("b1", "e0", content_id=target, **again["fields"]))
    talk.receive_bytes("a1", talk.craft(talk.padded(13, b"new")), "drop")
    talk.skip("b1", "e0", 1)
    talk.receive(["a1", "a2", "b2"], talk.send("b1", "e0"))
    return talk.case()


def batches(tape: Tape) -> Case:
    """The id of the batch decides whether it is known; its parts are the client's to tell apart."""
    talk = Messages(tape, "batches and their parts").start(1)
    text: dict[str, Any] = {"reply_to": bytes(16).hex(), "text": "once"}
    readers, part, batch, single = ["a1", "a2", "b2"], tape.hex(16), tape.hex(16), tape.hex(16)

    def items(*ids: str) -> list[Case]:
        return [{"content_id": content_id, "type": 1, "fields": text} for content_id in ids]

    talk.receive(readers, talk.send("b1", "e0", content_id=single, **text))
    talk.receive(readers, talk.send("b1", "e0", 11, content_id=batch, items=items(part)))
    talk.receive(readers, talk.send("b1", "e0", 11, content_id=batch, items=items(tape.hex(16))), "duplicate")
    talk.receive(readers, talk.send("b1", "e0", 11, items=items(part, single)))
    talk.receive(readers, talk.send("b1", "e0", content_id=batch, **text), "duplicate")
    talk.receive(readers, talk.send("b1", "e0", content_id=part, **text), "duplicate")
    talk.receive_bytes("a1", talk.craft(talk.padded(11, b"\0")), "BAD_CONTENT")
    talk.receive(readers, talk.send("b1", "e0"))
    return talk.case()


def unknown_subs(tape: Tape) -> Case:
    """A later version's self-sync: dropped, and its counter is used up."""
    talk = Messages(tape, "unknown subs of a self-sync").start(1)
    talk.epoch("own", "a2", ["a"])
    talk.take("a1", "own", ["a"])
    for sub in (0, 8, 255):
        padded = talk.padded(7, bytes([sub]) + v32(tape.b(20)))
        data = talk.craft(padded, cls=17, maker="a2", label="own")
        talk.receive_bytes("a1", data, "drop")
        talk.receive_bytes("a1", data, "REPLAY")
        talk.skip("a2", "own", 1)
    talk.receive(["a1"], talk.send("a2", "own", 7, sub=1, data=tape.hex(20)))
    return talk.case()


def skipping(tape: Tape, chosen: int) -> Case:
    """The bounds of both lanes, what was skipped, and what is given up at the cap."""
    talk = Messages(tape, f"skipping in suite {chosen}").start(chosen)
    early = [talk.send("b1", "e0") for _ in range(3)]
    talk.receive_bytes("a1", talk.craft(talk.padded(), ahead=1022), "SKIP_LIMIT")
    talk.receive_bytes("a1", talk.craft(talk.padded(8, b"\1"), cls=17, lane=1, ahead=4097), "SKIP_LIMIT")
    talk.receive_bytes("a1", talk.craft(talk.padded(), ahead=5000), "SKIP_LIMIT")
    talk.skip("b1", "e0", 1021)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.receive(["a1"], early[1])
    talk.receive(["a1"], early[1], "REPLAY")
    talk.skip("b1", "e0", 1024)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.receive(["a1"], early[2])
    # 2,046 are kept. Three of lane 1 fill the cap and put one over it: the oldest of lane 1 goes.
    lost = talk.send("b1", "e0", 8, on=1)
    kept = talk.send("b1", "e0", 8, on=0)
    talk.skip("b1", "e0", 1, lane=1)
    talk.receive(["a1"], talk.send("b1", "e0", 8, on=1))
    talk.receive(["a1"], lost, "REPLAY")
    talk.receive(["a1"], kept)
    # Over the cap again: what is left of lane 1 goes, and nothing of lane 0.
    talk.skip("b1", "e0", 2)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.receive(["a1"], early[0])
    return talk.case()


def given_up(tape: Tape) -> Case:
    """The oldest skipped message of lane 0 comes after its key was given up."""
    talk = Messages(tape, "given up").start(1)
    first_, second = talk.send("b1", "e0"), talk.send("b1", "e0")
    for count in (1022, 1024):
        talk.skip("b1", "e0", count)
        talk.receive(["a1"], talk.send("b1", "e0"))
    talk.skip("b1", "e0", 1)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.receive(["a1"], first_, "REPLAY")
    talk.receive(["a1"], second)
    answer = talk.send("a1", "e0", seen=True)
    talk.receive(["a2", "b1", "b2"], answer)
    return talk.case()


def oldest(tape: Tape) -> Case:
    """At the cap goes what was passed over first, whoever sent it and whatever its counter."""
    talk = Messages(tape, "the oldest go").start(1)
    early = {name: [talk.send(name, "e0") for _ in range(3)] for name in ("b1", "b2")}
    talk.skip("b2", "e0", 1000)
    talk.receive(["a1"], talk.send("b2", "e0"))
    talk.skip("b1", "e0", 1021)
    talk.receive(["a1"], talk.send("b1", "e0"))
    # 2,027 are kept; b2's come first, then b1's, then these 22 of b2: the first of b2 goes.
    talk.skip("b2", "e0", 22)
    talk.receive(["a1"], talk.send("b2", "e0"))
    talk.receive(["a1"], early["b2"][0], "REPLAY")
    talk.receive(["a1"], early["b2"][1])
    talk.receive(["a1"], early["b1"][0])
    # 2,046 are kept; four more of b1 put two over the cap.
    talk.skip("b1", "e0", 4)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.receive(["a1"], early["b2"][2], "REPLAY")
    talk.receive(["a1"], early["b1"][1])
    talk.receive(["a1"], early["b1"][2])
    return talk.case()


def oldest_of_the_other(tape: Tape) -> Case:
    """The same with b1 passed over first, and over two epochs."""
    talk = Messages(tape, "the oldest go, over two epochs").start(1)
    early, next_ = talk.send("b1", "e0"), talk.send("b1", "e0")
    talk.skip("b1", "e0", 1022)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.epoch("e1", "b2", PAIR)
    talk.take("a1", "e1", PAIR)
    young = talk.send("b2", "e1")
    talk.skip("b2", "e1", 1023)
    talk.receive(["a1"], talk.send("b2", "e1"))
    typing = [talk.send("b2", "e1", 8, on=1) for _ in range(2)]
    talk.receive(["a1"], typing[1])
    talk.receive(["a1"], typing[0], "REPLAY")
    talk.skip("b2", "e1", 1)
    talk.receive(["a1"], talk.send("b2", "e1"))
    talk.receive(["a1"], early, "REPLAY")
    talk.receive(["a1"], next_)
    talk.receive(["a1"], young)
    return talk.case()


def bounds(tape: Tape) -> Case:
    """Skips of exactly the bound, in both lanes."""
    talk = Messages(tape, "the largest skips").start(1)
    talk.skip("b1", "e0", 1024)
    talk.receive(["a1"], talk.send("b1", "e0"))
    talk.skip("b1", "e0", 1025)
    late = talk.send("b1", "e0")
    talk.receive(["a1"], late, "SKIP_LIMIT")
    talk.skip("b1", "e0", 4096, lane=1)
    talk.receive(["a1"], talk.send("b1", "e0", 8, on=1))
    talk.skip("b1", "e0", 4097, lane=1)
    talk.receive(["a1"], talk.send("b1", "e0", 8, on=1), "SKIP_LIMIT")
    return talk.case()


def messages(tape: Tape) -> list[Case]:
    makers = (network, member, dropped)
    alone = (batches, unknown_subs, given_up, oldest, oldest_of_the_other, bounds)
    by_suite = [maker(tape, chosen) for chosen in (1, 2, 3) for maker in makers]
    return [*by_suite, skipping(tape, 1), *(maker(tape) for maker in alone)]
