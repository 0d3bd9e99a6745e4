"""Two clients with each other at a real server: what must hold when connections and processes end.

    scene.py URL FOLDER

Each step says its name when it is done; the first that does not hold ends it with an error.
"""

import sys
from pathlib import Path
from typing import Any

from client import Client

SECONDS = 60.0


class Cut(Client):
    """Counts what it transmits and gets, and cuts its connection where a step says so."""

    def __init__(self, url: str, path: Path, encoding: str) -> None:
        super().__init__(url, path, encoding)
        self.transmitted: list[tuple[int, bytes]] = []
        self.got: list[int] = []
        self.cut_at = ""

    def cut(self, place: str) -> bool:
        here = self.cut_at == place
        if here and self.socket is not None:
            self.cut_at = ""
            self.socket.cut()
        return here

    def transmit_one(self, entry: dict[str, Any]) -> None:
        self.transmitted.append((entry["sn"], entry["upload"]))
        super().transmit_one(entry)
        self.cut("after the send")

    def on_accepted(self, id_: int | None, fields: dict[str, Any]) -> None:
        if not self.cut("before the answer"):
            super().on_accepted(id_, fields)

    def on_message(self, n: int | None, fields: dict[str, Any]) -> None:
        self.got.append(fields["n"])
        super().on_message(n, fields)

    def acknowledge(self, n: int, failed: str | None = None) -> None:
        if not self.cut("before the ack"):
            super().acknowledge(n, failed)


def tell(speaker: Client, handle: str, listener: Client, of: str, words: str) -> dict[str, Any]:
    """Said, accepted, read and delivered."""
    entry, before = speaker.say(handle, words), listener.texts(of)
    speaker.wait(lambda: bool(entry["accepted"]), SECONDS)
    listener.wait(lambda: len(listener.texts(of)) > len(before), SECONDS)
    assert listener.texts(of) == [*before, words], listener.texts(of)
    speaker.wait(lambda: bool(entry["delivered"]), SECONDS)
    return entry


def main(url: str, folder: Path) -> None:
    alice, bob = (Cut(url, folder / "alice.json", "json"), Cut(url, folder / "bob.json", "cbor"))
    alice.register("alice")
    bob.register("bob")
    alice.register("alice")
    print("registered, the same once more", flush=True)

    alice.sign_in()
    alice.ask("bob")
    bob.wait(lambda: bob.peer("alice", "requested") is not None, SECONDS)
    bob.accept(bob.peer("alice", "requested") or b"")
    alice.wait(lambda: alice.peer("bob", "active") is not None, SECONDS)
    bob.wait(lambda: bob.peer("alice", "active") is not None, SECONDS)
    print("a contact asked for and accepted", flush=True)

    tell(alice, "bob", bob, "alice", "hello, bob")
    tell(bob, "alice", alice, "bob", "hello, alice")
    print("messages both ways, delivered", flush=True)

    for place in ("after the send", "before the answer"):
        alice.transmitted, alice.cut_at = [], place
        tell(alice, "bob", bob, "alice", f"cut {place}")
        assert alice.cut_at == "" and len(alice.transmitted) >= 2, alice.transmitted
        assert len(set(alice.transmitted)) == 1, "a resend is the same bytes under the same sn"
        print(f"cut {place}: the same bytes again, read once", flush=True)

    bob.got, bob.cut_at = [], "before the ack"
    entry = alice.say("bob", "cut before the ack")
    alice.wait(lambda: bool(entry["accepted"]), SECONDS)
    bob.wait(lambda: len(bob.got) == 2, SECONDS)
    alice.wait(lambda: bool(entry["delivered"]), SECONDS)
    assert bob.texts("alice").count("cut before the ack") == 1
    print("cut before the ack: delivered again, kept once", flush=True)

    alice.transmitted = []
    pair = [alice.say("bob", words) for words in ("one", "two")]
    alice.wait(lambda: all(entry["accepted"] for entry in pair), SECONDS)
    bob.wait(lambda: bob.texts("alice")[-2:] == ["one", "two"], SECONDS)
    alice.wait(lambda: all(entry["delivered"] for entry in pair), SECONDS)
    assert len(set(alice.transmitted)) == 2, "held back, it is the same bytes later"
    print("two at once: in order, at the server's pace", flush=True)

    alice.say("bob", "said before the end")
    alice = Cut(url, folder / "alice.json", "cbor")
    bob = Cut(url, folder / "bob.json", "json")
    entry = alice.state["outbox"][-1]
    alice.wait(lambda: bool(entry["accepted"]), SECONDS)
    bob.wait(lambda: bob.texts("alice")[-1] == "said before the end", SECONDS)
    alice.wait(lambda: bool(entry["delivered"]), SECONDS)
    tell(bob, "alice", alice, "bob", "and I am back, too")
    assert len(bob.texts("alice")) == 7 and len(alice.texts("bob")) == 2
    print("both began again from their stores", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
