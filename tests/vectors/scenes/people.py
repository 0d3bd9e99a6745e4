"""What people compare and type (CRYPTO 8 and 9)."""

from mnemonic import Mnemonic

from formats.people import CODES, LINKS, QR, RECOVERY, RECOVERY_REFUSED, SAFETY_NUMBERS
from formats.shape import Case, side_json
from hw1 import verification
from hw1.log import Side
from scenes.logbook import Book
from scenes.tape import Tape


def safety_numbers(tape: Tape) -> list[Case]:
    book, other = Book(tape).device("d2"), Book(tape)
    pairs = {
        "two logs": (book.known.side(), other.known.side()),
        "before the second device": (book.known.side(0), other.known.side()),
        "the other way round": (other.known.side(), book.known.side()),
    }
    return [
        SAFETY_NUMBERS.complete({"name": name, "a": side_json(a), "b": side_json(b)})
        for name, (a, b) in pairs.items()
    ]


def qr(tape: Tape) -> list[Case]:
    shower, scanner = Book(tape).device("d2").device("d3"), Book(tape).device("e2")
    fork = Book(tape)
    mine, theirs = scanner.known, shower.known
    newest = verification.qr(theirs.side(), mine.side())
    ahead = Side(theirs.log_id, 3, tape.b(32))
    shown = {
        "equal": (newest, True),
        "the shower's older head": (verification.qr(theirs.side(1), mine.side()), True),
        "the scanner's older head": (verification.qr(theirs.side(), mine.side(0)), True),
        "another log of the shower": (verification.qr(fork.known.side(), mine.side()), False),
        "another log of the scanner": (verification.qr(theirs.side(), fork.known.side()), False),
        "another head": (verification.qr(Side(theirs.log_id, 2, tape.b(32)), mine.side()), False),
        "a head at another seq": (
            verification.qr(Side(theirs.log_id, 1, theirs.heads[2]), mine.side()),
            False,
        ),
        "a head not yet fetched": (verification.qr(ahead, mine.side()), False),
        "sides swapped": (verification.qr(mine.side(), theirs.side()), False),
        "a byte less": (newest[:-1], False),
        "a byte more": (newest + b"\0", False),
    }
    cases = []
    for name, (payload, accept) in shown.items():
        logs = {"shower": shower.wires, "scanner": scanner.wires}
        cases.append(QR.complete({"name": name, **logs, "payload": payload.hex()}))
        assert cases[-1]["accept"] is accept, name
    return cases


def codes(tape: Tape) -> list[Case]:
    asked = ((1, 7), (4, 5), (3, 1))
    return [
        CODES.complete(
            {
                "name": f"kind {kind}, suites {suites}",
                "log_id": tape.hex(32),
                "new_seed": tape.hex(32),
                "kind": kind,
                "suites": suites,
            }
        )
        for kind, suites in asked
    ]


def links(tape: Tape) -> list[Case]:
    names = (("alice", "chat.example"), ("bob_2.x", "a.example:8443"))
    return [
        LINKS.complete({"name": handle, "handle": handle, "domain": domain, "log_id": tape.hex(32)})
        for handle, domain in names
    ]


def recovery(tape: Tape) -> list[Case]:
    drawn = {"zeros": bytes(32), "ones": b"\xff" * 32, "drawn 1": tape.b(32), "drawn 2": tape.b(32)}
    return [RECOVERY.complete({"name": name, "entropy": entropy.hex()}) for name, entropy in drawn.items()]


def recovery_refused(tape: Tape) -> list[Case]:
    words = verification.words_of(tape.b(32)).split()
    twelve = Mnemonic("english").to_mnemonic(tape.b(16)).split()
    short = verification.words_of(bytes(32)).split()
    bad = {
        "23 words": words[:-1],
        "25 words": [*words, words[0]],
        "12 words with a right checksum": twelve,
        "an unknown word": [*words[:-1], "hushwire"],
        "a wrong checksum": [*short[:-1], "zoo"],
        "no words": [""],
    }
    return [
        RECOVERY_REFUSED.complete({"name": name, "words": " ".join(given)}) for name, given in bad.items()
    ]
