"""Logs that are valid, and logs that break one rule each (CRYPTO 3)."""

from typing import Any

from formats.logs import LOGS, complete_entry
from formats.shape import Case, side_json
from hw1 import keys, log
from hw1.log import Log, Side
from scenes.tape import Tape

START_MS = 1_795_000_000_000
NAMES = {"domain": "chat.example", "handle": "alice"}


class Book:
    """A log being written, with the seeds of its keys by name."""

    def __init__(self, tape: Tape, suites: int = 7, kind: int = 2, **names: str) -> None:
        self.tape = tape
        self.known = Log()
        self.entries: list[Case] = []
        self.seeds = {"d1": tape.b(32)}
        self.add("genesis", "d1", kind=kind, suites=suites, **{**NAMES, **names})

    def draft(self, type_: str, by: str, **fields: Any) -> Case:
        """An entry that is not appended; it need not be valid."""
        start = {"type": type_, "time_ms": START_MS + 1000 * len(self.entries)}
        inputs = {**start, "signer_seed": self.seeds[by].hex(), **fields}
        return complete_entry(self.known, inputs)

    def add(self, type_: str, by: str, new: str = "", **fields: Any) -> "Book":
        if new:
            self.seeds[new] = self.tape.b(32)
            fields["new_seed"] = self.seeds[new].hex()
        entry = self.draft(type_, by, **fields)
        self.known.append(bytes.fromhex(entry["wire"]))
        self.entries.append(entry)
        return self

    def device(self, new: str, by: str = "d1", suites: int = 7, kind: int | None = None) -> "Book":
        chosen = 1 + self.tape.below(4) if kind is None else kind
        return self.add("add", by, new, kind=chosen, suites=suites)

    def revoke(self, *names: str, by: str = "d1", reason: int = 0) -> "Book":
        return self.add("revoke", by, devices=[self.id(name).hex() for name in names], reason=reason)

    def recovery(self, new: str, by: str = "d1") -> "Book":
        return self.add("rec_add", by, new)

    def forget(self, name: str, by: str) -> "Book":
        return self.add("rec_del", by, recovery_id=self.id(name).hex())

    def id(self, name: str) -> bytes:
        return keys.device_id(keys.public_of_seed(self.seeds[name]))

    def public(self, name: str) -> bytes:
        return keys.public_of_seed(self.seeds[name])

    @property
    def wires(self) -> list[str]:
        return [wire.hex() for wire in self.known.wires]

    def case(self, name: str) -> Case:
        return LOGS.complete({"name": name, "entries": self.entries})


def valid(tape: Tape) -> list[Case]:
    """Logs of every type of entry."""

    def book(**names: Any) -> Book:
        return Book(tape, **names)

    long = {"domain": "a" * 240 + ".example:8443", "handle": "z_9." * 8}
    unknown = book(kind=0).device("d2", kind=5).device("d3", kind=254)
    eight = book()
    for number in range(2, 9):
        eight.device(f"d{number}", by=f"d{number - 1}")
    lost = book().recovery("r1").revoke("d1", by="r1", reason=2).device("d2", by="r1", suites=5)
    several = book().device("d2").device("d3").device("d4").revoke("d2", "d4", by="d3", reason=1)
    gone = book().device("d2").revoke("d2", by="d2")
    spare = book().recovery("r1").recovery("r2", by="r1").forget("r1", by="r2").recovery("r3", by="r2")
    return [
        book().case("genesis"),
        book(suites=1).case("genesis with suite 1 alone"),
        book(suites=0x8005).case("unknown bits of a mask are kept"),
        book(**long).case("the longest names"),
        unknown.case("unknown kinds of devices are kept"),
        book(handle="bob").device("d2", suites=3).case("a second device"),
        book().device("d2").device("d3", by="d2").case("a third device, added by the second"),
        eight.case("eight devices"),
        eight.revoke("d1", "d2", "d3", "d4", "d5", "d6", "d7", by="d8")
        .device("e2", by="d8")
        .case("seven removed"),
        several.case("two removed at once"),
        gone.case("a device removes itself"),
        book().recovery("r1").case("a recovery key"),
        lost.case("all devices lost, and a new one added by the recovery key"),
        spare.case("recovery keys change"),
        book().recovery("r1").revoke("d1").case("nothing left but a recovery key"),
    ]


def body_of(entry: Case) -> bytes:
    return bytes.fromhex(entry["body"])


def signed(book: Book, by: str, body: bytes, claim: bytes = b"") -> str:
    return log.signed_wire(body, claim, book.seeds[by]).hex()


def changed(book: Book, entry: Case, by: str, at: int, data: bytes) -> str:
    """The entry with other bytes in its body, signed again."""
    body = body_of(entry)
    return signed(book, by, body[:at] + data + body[at + len(data) :], bytes.fromhex(entry["claim"] or ""))


def side(book: Book, seq: int | None = None) -> Side:
    return book.known.side(seq)


def pins(tape: Tape) -> list[Case]:
    """Valid logs that are not the one that was verified before."""
    book = Book(tape).device("d2").device("d3")
    other = Book(tape)
    fork = Book(tape)
    fork.seeds, fork.known, fork.entries = (
        dict(book.seeds),
        log.verify(book.known.wires[:1])[0],
        book.entries[:1],
    )
    fork.device("d2").device("d4").device("d5")
    return [
        {"name": "shorter than the pin", "entries": book.wires[:2], "pin": side_json(side(book))},
        {"name": "forked before the pin", "entries": fork.wires, "pin": side_json(side(book))},
        {
            "name": "another log of the same length",
            "entries": other.device("x").device("y").wires,
            "pin": side_json(side(book)),
        },
    ]
