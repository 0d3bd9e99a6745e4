"""Logs that break one rule each, and signatures that only a laxer verifier would take."""

from nacl import bindings as sodium

from formats.logs import LOGS_REFUSED
from formats.shape import Case
from hw1 import log
from hw1.hash import d, sign
from hw1.layout import v16
from scenes.forgery import NEUTRAL, PRIME, TORSION, forge, forge_small, forge_where, little, unreduced
from scenes.logbook import START_MS, Book, body_of, changed, pins, signed
from scenes.tape import Tape

# Offsets in a body.
VERSION, TYPE, SEQ, LOG_ID, PREV, TIME, SIGNER, PAYLOAD = 0, 1, 2, 6, 38, 70, 78, 94


def refused(tape: Tape) -> list[Case]:
    cases = [*_genesis(tape), *_links(tape), *_rules(tape), *_bounds(tape), *_signatures(tape), *pins(tape)]
    return [LOGS_REFUSED.complete({"pin": None, **case}) for case in cases]


def _after(book: Book, name: str, wire: str) -> Case:
    """A valid log and one more entry."""
    return {"name": name, "entries": [*book.wires, wire]}


def _genesis(tape: Tape) -> list[Case]:
    book, cases = Book(tape), []

    def at(name: str, offset: int, data: bytes) -> None:
        cases.append({"name": name, "entries": [changed(book, book.entries[0], "d1", offset, data)]})

    def named(name: str, domain: str, handle: str, kind: int = 1, suites: int = 7) -> None:
        empty = Book(tape)
        empty.known, seed = log.Log(), empty.seeds["d1"].hex()
        fields = {"domain": domain, "handle": handle, "kind": kind, "suites": suites}
        entry = empty.draft("genesis", "d1", **fields)
        assert entry["signer_seed"] == seed
        cases.append({"name": name, "entries": [entry["wire"]]})

    at("genesis of version 2", VERSION, b"\x02")
    at("genesis with seq 1", SEQ, bytes([0, 0, 0, 1]))
    at("genesis with a log_id", LOG_ID, bytes(31) + b"\x01")
    at("genesis with a prev", PREV, bytes(31) + b"\x01")
    at("genesis signed in another's name", SIGNER, tape.b(16))
    named("empty domain", "", "alice")
    named("domain with a capital", "Chat.example", "alice")
    named("domain too long", "a" * 254, "alice")
    named("handle too short", "chat.example", "al")
    named("handle too long", "chat.example", "a" * 33)
    named("handle with a capital", "chat.example", "Alice")
    named("no suites", "chat.example", "alice", suites=0)
    named("device of kind 255", "chat.example", "alice", kind=255)
    other = Book(tape).device("d2")
    cases.append({"name": "begins with its second entry", "entries": other.wires[1:]})
    return cases


def _links(tape: Tape) -> list[Case]:
    book = Book(tape).device("d2").device("d3")
    entry = book.draft("revoke", "d1", devices=[book.id("d2").hex()], reason=0)
    wire = bytes.fromhex(entry["wire"])
    early = (START_MS + 1999).to_bytes(8, "big")
    again = book.draft("genesis", "d1", domain="chat.example", handle="alice", kind=1, suites=7)
    return [
        _after(book, "seq leaves one out", changed(book, entry, "d1", SEQ, bytes([0, 0, 0, 4]))),
        _after(book, "seq repeats", changed(book, entry, "d1", SEQ, bytes([0, 0, 0, 2]))),
        _after(book, "log_id of another", changed(book, entry, "d1", LOG_ID, tape.b(32))),
        _after(book, "prev of another", changed(book, entry, "d1", PREV, tape.b(32))),
        _after(book, "time falls", changed(book, entry, "d1", TIME, early)),
        _after(book, "version 2", changed(book, entry, "d1", VERSION, b"\x02")),
        _after(book, "type 0", changed(book, entry, "d1", TYPE, b"\x00")),
        _after(book, "type 6", changed(book, entry, "d1", TYPE, b"\x06")),
        _after(book, "a second genesis", again["wire"]),
        _after(book, "a byte after the body", signed(book, "d1", body_of(entry) + b"\0")),
        _after(book, "a byte after the signature", (wire + b"\0").hex()),
        _after(book, "a signature cut short", wire[:-1].hex()),
        _after(book, "a body cut short", signed(book, "d1", body_of(entry)[:-1])),
        _after(book, "the first entries swapped", book.wires[0])
        | {"entries": [book.wires[0], book.wires[2]]},
    ]


def _rules(tape: Tape) -> list[Case]:
    book = Book(tape).device("d2").device("d3").revoke("d3").recovery("r1")
    book.seeds["stranger"], book.seeds["new"] = tape.b(32), tape.b(32)

    def add(by: str, new: str, kind: int = 1, suites: int = 7) -> str:
        seed = book.seeds[new].hex()
        return str(book.draft("add", by, new_seed=seed, kind=kind, suites=suites)["wire"])

    def revoke(by: str, *ids: bytes) -> str:
        return str(book.draft("revoke", by, devices=[one.hex() for one in ids], reason=0)["wire"])

    def rec_add(by: str, new: str) -> str:
        return str(book.draft("rec_add", by, new_seed=book.seeds[new].hex())["wire"])

    def rec_del(by: str, name: str) -> str:
        return str(book.draft("rec_del", by, recovery_id=book.id(name).hex())["wire"])

    spare = Book(tape).recovery("r1").recovery("r2", by="r1").forget("r1", by="r2")
    last = Book(tape).device("d2")
    bare = Book(tape).recovery("r1").revoke("d1", by="r1")
    last_wire = last.draft("revoke", "d1", devices=[last.id("d1").hex(), last.id("d2").hex()], reason=0)[
        "wire"
    ]
    bare_wire = bare.draft("rec_del", "r1", recovery_id=bare.id("r1").hex())["wire"]
    spent = spare.draft("rec_add", "r2", new_seed=spare.seeds["r1"].hex())["wire"]
    ghost = spare.draft("revoke", "r1", devices=[spare.id("d1").hex()], reason=0)["wire"]
    return [
        _after(book, "signed by a stranger", add("stranger", "new")),
        _after(book, "signed by a removed device", add("d3", "new")),
        _after(book, "a removed device comes back", add("d1", "d3")),
        _after(book, "an active device is added again", add("d1", "d2")),
        _after(book, "a recovery key as a device", add("d1", "r1")),
        _after(book, "a device as a recovery key", rec_add("r1", "d2")),
        _after(book, "added without suites", add("d1", "new", suites=0)),
        _after(book, "added with kind 255", add("d1", "new", kind=255)),
        _after(book, "a removed device is removed", revoke("d1", book.id("d3"))),
        _after(book, "a stranger is removed", revoke("d1", tape.b(16))),
        _after(book, "a device is removed twice in one entry", revoke("d1", book.id("d2"), book.id("d2"))),
        _after(book, "a revocation names a recovery key", revoke("d1", book.id("r1"))),
        _after(book, "a revocation of nobody", revoke("d1")),
        _after(book, "a device adds a second recovery key", rec_add("d1", "new")),
        _after(book, "a device removes a recovery key", rec_del("d1", "r1")),
        _after(book, "a recovery key that is none is removed", rec_del("r1", "d2")),
        _after(spare, "a removed recovery key comes back", spent),
        _after(spare, "signed by a removed recovery key", ghost),
        _after(last, "the last devices are removed", last_wire),
        _after(bare, "the last recovery key is removed", bare_wire),
    ]


def _bounds(tape: Tape) -> list[Case]:
    full = Book(tape)
    for number in range(2, 9):
        full.device(f"d{number}")
    ninth = full.draft("add", "d1", new_seed=tape.hex(32), kind=1, suites=7)["wire"]
    nine = full.draft("revoke", "d1", devices=[full.id("d2").hex()] * 9, reason=0)["wire"]
    keys = Book(tape).recovery("r1").recovery("r2", by="r1")
    third = keys.draft("rec_add", "r1", new_seed=tape.hex(32))["wire"]
    return [
        _after(full, "a ninth device", ninth),
        _after(full, "a revocation of nine", nine),
        _after(keys, "a third recovery key", third),
    ]


def _signatures(tape: Tape) -> list[Case]:
    book = Book(tape).device("d2")
    book.seeds["new"] = tape.b(32)
    seed, new = book.seeds["d1"], book.seeds["new"]
    entry = book.draft("revoke", "d1", devices=[book.id("d2").hex()], reason=0)
    added = book.draft("add", "d1", new_seed=new.hex(), kind=1, suites=7)
    body, claim = body_of(added), bytes.fromhex(added["claim"])
    plain = body_of(entry)
    labelled, public = d("log") + plain, book.public("d1")

    def wire(signature: bytes) -> str:
        return v16(plain).hex() + signature.hex()

    def with_claim(signature: bytes) -> str:
        return signed(book, "d1", body, signature)

    good = sign(seed, "log", plain)
    big = unreduced(good)
    shifted, _ = forge(seed, public, labelled, 1 + tape.below(2**60), TORSION)
    small_r = forge_small(seed, public, labelled, NEUTRAL)
    elsewhere = log.claim_input(tape.b(32), book.public("new"), 1, 7)
    other_suites = log.claim_input(book.known.log_id, book.public("new"), 1, 1)
    right = log.claim_input(book.known.log_id, book.public("new"), 1, 7)
    return [
        _after(book, "signature by another active device", wire(sign(book.seeds["d2"], "log", plain))),
        _after(book, "signature under hw1/claim", wire(sign(seed, "claim", plain))),
        _after(book, "signature under hw1/auth", wire(sign(seed, "auth", plain))),
        _after(book, "signature under hw1/prekey", wire(sign(seed, "prekey", plain))),
        _after(book, "signature that leaves the claim out", _without_claim(body, claim, seed)),
        _after(book, "claim of another log", with_claim(sign(new, "claim", elsewhere))),
        _after(book, "claim of other suites", with_claim(sign(new, "claim", other_suites))),
        _after(book, "claim by the adding device", with_claim(sign(seed, "claim", right))),
        _after(book, "claim under hw1/log", with_claim(sign(new, "log", right))),
        _after(book, "claim of zeros", with_claim(bytes(64))),
        _after(book, "S is not reduced", wire(big)),
        _after(book, "valid with cofactor only", wire(shifted)),
        _after(book, "R is the neutral element", wire(small_r)),
        _after(book, "key of mixed order", _mixed(tape, book)),
        _after(book, "key of small order", _unfit(book, NEUTRAL)),
        _after(book, "key of order 8", _unfit(book, TORSION)),
        _after(book, "key that is not canonical", _unfit(book, little(PRIME + 3))),
        _after(book, "key that is no point", _unfit(book, b"\x02" + bytes(31))),
    ]


def _without_claim(body: bytes, claim: bytes, seed: bytes) -> str:
    return (v16(body) + claim + sign(seed, "log", body)).hex()


def _add_of(book: Book, key: bytes, claim: bytes) -> str:
    """An `add` of a key whose secret need not be known."""
    entry = book.draft("add", "d1", new_seed=book.seeds["new"].hex(), kind=1, suites=7)
    body = body_of(entry)
    return signed(book, "d1", body[:PAYLOAD] + key + body[PAYLOAD + 32 :], claim)


def _unfit(book: Book, key: bytes) -> str:
    """R neutral and S zero: the equation holds for the neutral key."""
    return _add_of(book, key, NEUTRAL + bytes(32))


def _mixed(tape: Tape, book: Book) -> str:
    """A key outside the main subgroup, whose claim libsodium's verifier takes: the challenge is 0 mod 8."""
    seed = book.seeds["new"]
    key = sodium.crypto_core_ed25519_add(book.public("new"), TORSION)
    message = d("claim") + log.claim_input(book.known.log_id, key, 1, 7)
    signature = forge_where(seed, key, message, 1 + tape.below(2**60), multiple_of_8=True)
    sodium.crypto_sign_open(signature + message, key)
    return _add_of(book, key, signature)
