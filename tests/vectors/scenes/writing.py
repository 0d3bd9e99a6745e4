"""Contents, paddings, files and reports (CRYPTO 6 and 7)."""

from typing import Any

from nacl import bindings as sodium

from formats.contents import CONTENTS, CONTENTS_REFUSED, PADDINGS
from formats.files import FILES, PADME, REPORTS
from formats.shape import Case
from hw1 import content, file, message, report
from hw1.content import MOST, Content
from hw1.hash import h
from hw1.layout import u8, u16, u32, u64, v8, v16, v32
from hw1.report import Route
from scenes.talk import CLASSES, START_MS
from scenes.tape import Tape


def _case(tape: Tape, name: str, type_: int, fields: dict[str, Any], **changes: Any) -> Case:
    start = {"name": name, "type": type_, "class": CLASSES[type_], "lane": 1 if type_ in (5, 8) else 0}
    common = {"content_id": tape.hex(16), "sent_ms": START_MS, "prev_sent": 0, "seen": []}
    return CONTENTS.complete({**start, **common, "fields": fields, **changes})


def _sizes(size: int) -> dict[str, int]:
    return {"size": size, "ct_size": file.ct_size(size)}


def contents(tape: Tape) -> list[Case]:
    nobody, target, call = bytes(16).hex(), tape.hex(16), tape.hex(16)
    file_fields = {
        "mime": "text/plain",
        "file_name": "na\u00efve.txt",
        **_sizes(70_000),
        "blob": tape.hex(16),
        "key": tape.hex(32),
        "hdr": tape.hex(24),
        "ct_hash": tape.hex(32),
        "thumbnail": "",
    }
    items = [
        {"content_id": tape.hex(16), "type": 1, "fields": {"reply_to": nobody, "text": f"line {number}"}}
        for number in range(15)
    ]
    reacted = {"content_id": tape.hex(16), "type": 9, "fields": {"target": target, "reaction": "+"}}

    def a_file(name: str, size: int, **fields: Any) -> Case:
        sized = {**file_fields, **_sizes(size), **fields}
        return _case(tape, name, 4, sized, **{"class": file.class_of(size)})

    def calls(sub: int, expires: int, payload: bytes | None = None) -> dict[str, Any]:
        data = tape.b(40) if payload is None else payload
        return {"call_id": call, "sub": sub, "expires_ms": START_MS + expires, "payload": data.hex()}

    offer, all_seen = tape.b(200), {"seen": list(range(16))}

    return [
        _case(tape, "text", 1, {"reply_to": nobody, "text": "Hello Bob"}),
        _case(tape, "empty text", 1, {"reply_to": nobody, "text": ""}),
        _case(
            tape,
            "answer",
            1,
            {"reply_to": target, "text": "\u00fc\u4e2d\U0001d11e"},
            prev_sent=9,
            seen=[3, 0],
        ),
        _case(
            tape, "text with the seen of 16", 1, {"reply_to": nobody, "text": "x" * 138}, seen=list(range(16))
        ),
        _case(tape, "text of 202 bytes", 1, {"reply_to": nobody, "text": "x" * 202}),
        _case(tape, "text of 203 bytes", 1, {"reply_to": nobody, "text": "x" * 203}),
        _case(tape, "text of 204 bytes", 1, {"reply_to": nobody, "text": "x" * 204}),
        _case(tape, "edit", 2, {"target": target, "rev": 65_535, "text": tape.words(9)}),
        _case(tape, "remove", 3, {"target": target}),
        a_file("small file", 70_000),
        a_file("empty file", 0, file_name=""),
        a_file("the largest small file", file.MIB),
        a_file("the smallest medium file", file.MIB + 1),
        a_file("medium file", 2_000_000, thumbnail=tape.hex(2000)),
        a_file("the largest medium file", 16 * file.MIB),
        a_file("the smallest large file", 16 * file.MIB + 1),
        a_file("large file", 20_000_000, mime=""),
        a_file("the largest file", file.MAX_SIZE),
        _case(tape, "call offer", 5, calls(1, 60_000), content_id=call),
        _case(tape, "call end, whose content has another id", 5, calls(4, 0)),
        _case(tape, "call answer", 5, calls(2, 60_000, h("env", offer) + tape.b(100))),
        _case(tape, "call answer of 32 bytes", 5, calls(2, 60_000, h("env", offer))),
        _case(tape, "call of sub 3 with 31 bytes", 5, calls(3, 60_000, tape.b(31))),
        _case(tape, "call end without payload", 5, calls(4, 0, b"")),
        _case(tape, "call of 16 KiB", 5, calls(1, 60_000, tape.b(16_320))),
        _case(tape, "delivered", 6, {"receipt": 1, "ids": [tape.hex(16)]}),
        _case(tape, "read", 6, {"receipt": 2, "ids": [tape.hex(16) for _ in range(12)]}),
        _case(
            tape,
            "read, 25 with the seen of 16",
            6,
            {"receipt": 2, "ids": [tape.hex(16) for _ in range(25)]},
            **all_seen,
        ),
        *(
            _case(tape, f"self-sync of sub {sub}", 7, {"sub": sub, "data": tape.hex(50)})
            for sub in range(1, 8)
        ),
        _case(tape, "typing", 8, {"on": 1}),
        _case(tape, "no longer typing", 8, {"on": 0}),
        _case(tape, "reaction", 9, {"target": target, "reaction": "\U0001f44d"}),
        _case(tape, "reaction of two code points", 9, {"target": target, "reaction": "e\u0301"}),
        _case(tape, "reaction of several graphemes", 9, {"target": target, "reaction": "ab\U0001f44d"}),
        _case(tape, "reaction of 64 bytes", 9, {"target": target, "reaction": "\u00e9" * 32}),
        _case(tape, "reaction taken back", 9, {"target": target, "reaction": ""}),
        _case(tape, "timer", 10, {"seconds": 604_800}),
        _case(tape, "timer off", 10, {"seconds": 0}),
        _case(tape, "batch", 11, {"items": [*items, reacted]}),
        _case(tape, "batch of one", 11, {"items": items[:1]}),
        _case(tape, "profile", 12, {"display_name": "Alice Ang\u00e9lique"}),
        _case(tape, "profile of 255 bytes, with the seen of 16", 12, {"display_name": "a" * 255}, **all_seen),
    ]


def contents_refused(tape: Tape) -> list[Case]:
    cases: list[Case] = []
    cid, target = tape.b(16), tape.b(16)

    def refused(name: str, padded: bytes, verdict: str, cls: int = 1, lane: int = 0, roster: int = 2) -> None:
        fields = {"name": name, "class": cls, "lane": lane, "roster": roster, "padded": padded.hex()}
        cases.append(CONTENTS_REFUSED.complete(fields))
        assert cases[-1]["verdict"] == verdict, f"{name}: {cases[-1]['verdict']}"

    def made(type_: int, data: bytes, seen: tuple[int, ...] = ()) -> bytes:
        return content.pad(Content(type_, cid, START_MS, 0, seen, data).encode())

    def bad(name: str, type_: int, data: bytes) -> None:
        refused(name, made(type_, data), "BAD_CONTENT", CLASSES[type_], 1 if type_ in (5, 8) else 0)

    good = made(1, bytes(16) + b"Hello")
    size = len(Content(1, cid, START_MS, 0, (), bytes(16) + b"Hello").encode())
    refused("version 0", b"\0" + good[1:], "BAD_CONTENT")
    refused("version 2", b"\2" + good[1:], "BAD_CONTENT")
    refused("reserved is not zero", good[:3] + b"\1" + good[4:], "BAD_CONTENT")
    refused("padding is not zero", good[:-1] + b"\1", "BAD_CONTENT")
    refused("a byte after the content", good[:size] + b"\1" + good[size + 1 :], "BAD_CONTENT")
    refused("not a padded size", good[:255], "BAD_CONTENT")
    refused("body longer than the content", good[:33] + u32(300) + good[37:], "BAD_CONTENT")
    refused("seen of one in a roster of two", made(1, bytes(16), (1,)), "BAD_CONTENT")
    refused("seen of three in a roster of two", made(1, bytes(16), (1, 1, 1)), "BAD_CONTENT")
    soon = u64(START_MS + 1000)

    def a_file(size: int, ct_size: int | None = None) -> bytes:
        sizes = u64(size) + u64(file.ct_size(size) if ct_size is None else ct_size)
        return v8(b"text/plain") + v16(b"a.txt") + sizes + tape.b(16 + 32 + 24 + 32) + v16(b"")

    text, receipt = bytes(16) + b"Hello", u8(1) + u16(1) + target
    item, mib = cid + u8(1) + v32(bytes(16) + b"x"), file.MIB
    for name, type_, body, cls, lane in (
        ("type 0", 0, tape.b(16), 1, 0),
        ("type 13", 13, tape.b(16), 1, 0),
        ("type 13 without a body", 13, b"", 17, 1),
        ("type 255", 255, tape.b(16), 17, 0),
        ("text in class 17", 1, text, 17, 0),
        ("text in class 17, lane 1", 1, text, 17, 1),
        ("text in class 2", 1, text, 2, 0),
        ("edit in class 1", 2, target + u16(1) + b"Hello", 1, 0),
        ("remove in class 18", 3, target, 18, 0),
        ("call in class 17", 5, target + u8(1) + soon + v16(b"x"), 17, 1),
        ("receipt in class 1", 6, receipt, 1, 0),
        ("receipt in lane 1", 6, receipt, 17, 1),
        ("self-sync in class 1", 7, u8(1) + v32(b"x"), 1, 0),
        *((f"self-sync of sub {sub}", 7, u8(sub) + v32(b"x"), 17, 0) for sub in (0, 8, 255)),
        ("typing in lane 0", 8, u8(1), 17, 0),
        ("typing in class 16", 8, u8(1), 16, 1),
        ("reaction in class 1", 9, target + v8(b"!"), 1, 0),
        ("timer in class 17", 10, u32(60), 17, 0),
        ("batch in class 18", 11, u8(1) + item, 18, 0),
        ("profile in class 18", 12, v8(b"Alice"), 18, 0),
        ("file in class 1", 4, a_file(5), 1, 0),
        ("small file in class 5", 4, a_file(mib), 5, 0),
        ("small file in class 6", 4, a_file(5), 6, 0),
        ("medium file in class 4", 4, a_file(mib + 1), 4, 0),
        ("medium file in class 6", 4, a_file(16 * mib), 6, 0),
        ("large file in class 5", 4, a_file(16 * mib + 1), 5, 0),
        ("large file in class 4", 4, a_file(file.MAX_SIZE), 4, 0),
    ):
        refused(name, made(type_, body), "DROP", cls, lane)
    bad("text without reply_to", 1, bytes(15))
    bad("text that is not UTF-8", 1, bytes(16) + b"\xff")
    bad("text with a surrogate", 1, bytes(16) + b"\xed\xa0\x80")
    bad("edit without rev", 2, target + b"\0")
    bad("edit that is not UTF-8", 2, target + u16(1) + b"\xc3")
    bad("remove with a byte more", 3, target + b"\0")
    bad("remove with a byte less", 3, target[:-1])
    start = v8(b"text/plain") + v16(b"a.txt") + u64(5) + u64(22) + tape.b(16 + 32 + 24 + 32)
    bad("file without thumbnail", 4, start)
    bad("file with a byte more", 4, start + v16(b"") + b"\0")
    bad("thumbnail of more than 16 KiB", 4, start + v16(bytes(16_385)))
    bad("file name that is not UTF-8", 4, start.replace(b"a.txt", b"a\xfftxt") + v16(b""))
    bad("file with a ct_size of one more", 4, a_file(5, file.ct_size(5) + 1))
    bad("file with a ct_size of one less", 4, a_file(70_000, file.ct_size(70_000) - 1))
    bad("file with a ct_size without padding", 4, a_file(1000, 1017))
    too_large = made(4, a_file(file.MAX_SIZE + 1))
    refused("file of more than 100 MiB", too_large, "BAD_CONTENT", 6)
    bad("call of sub 0", 5, cid + u8(0) + soon + v16(b"x"))
    bad("call of sub 5", 5, cid + u8(5) + soon + v16(b"x"))
    bad("answer without payload", 5, cid + u8(2) + soon + v16(b""))
    bad("answer with 31 bytes", 5, cid + u8(2) + soon + v16(tape.b(31)))
    bad("call of more than 16 KiB", 5, cid + u8(1) + soon + v16(tape.b(16_321)))
    bad("receipt of kind 0", 6, u8(0) + u16(1) + target)
    bad("receipt of kind 3", 6, u8(3) + u16(1) + target)
    bad("receipt with fewer ids than said", 6, u8(1) + u16(2) + target)
    bad("receipt with more ids than said", 6, u8(1) + u16(1) + target + target)
    bad("receipt of nothing", 6, u8(1) + u16(0))
    bad("receipt of 26", 6, u8(2) + u16(26) + tape.b(16 * 26))
    bad("self-sync cut short", 7, u8(1) + u32(5) + b"1234")
    bad("typing without on", 8, b"")
    bad("typing with on = 2", 8, u8(2))
    bad("reaction of 65 bytes", 9, target + v8("\u00e9".encode() * 32 + b"a"))
    bad("reaction that is not UTF-8", 9, target + v8(b"\xff"))
    bad("timer of three bytes", 10, bytes(3))
    bad("batch of none", 11, u8(0))
    bad("batch of 17", 11, u8(17) + item * 17)
    bad("batch with an edit", 11, u8(1) + cid + u8(2) + v32(target + u16(1)))
    bad("batch with a batch", 11, u8(1) + cid + u8(11) + v32(u8(1) + item))
    bad("batch with a bad text", 11, u8(1) + cid + u8(1) + v32(bytes(16) + b"\xff"))
    long_reaction = v32(target + v8(b"a" * 65))
    bad("batch with a reaction of 65 bytes", 11, u8(1) + cid + u8(9) + long_reaction)
    bad("batch with fewer than said", 11, u8(2) + item)
    bad("batch with more than said", 11, u8(1) + item + item)
    bad("profile that is not UTF-8", 12, v8(b"\xff"))
    well_formed = {3: target, 6: receipt, 8: u8(1), 9: target + v8(b"!"), 10: u32(60), 12: v8(b"Alice")}
    for type_, body in well_formed.items():
        padded, size = made(type_, body), 2 * MOST[type_]
        name = f"type {type_} in {size} bytes"
        refused(name, padded.ljust(size, b"\0"), "BAD_CONTENT", CLASSES[type_], 1 if type_ == 8 else 0)
    return cases


def paddings() -> list[Case]:
    sizes = [0, 37, 255, 256, 257, 512, 513, 32_768, 32_769, 65_535, 65_536, 65_537]
    return [PADDINGS.complete({"name": f"{size} bytes", "content_len": size}) for size in sizes]


def padme(tape: Tape) -> list[Case]:
    sizes = [
        0,
        1,
        2,
        3,
        4,
        8,
        9,
        10,
        17,
        100,
        255,
        256,
        257,
        1000,
        65_535,
        65_536,
        65_537,
        10**6,
        2**30 + 1,
        2**40 + 1,
    ]
    sizes += sorted({10**6 + tape.below(2**32) for _ in range(5)})
    return [PADME.complete({"name": f"{size} bytes", "size": size}) for size in sizes]


def files(tape: Tape) -> list[Case]:
    small = {"one byte": b"\x01", "a line": b"Hello, file\n", "600 bytes": tape.b(600), "no bytes": b""}
    given: list[tuple[str, int, str | None]] = [(name, len(data), data.hex()) for name, data in small.items()]
    sizes = {"a chunk but one": 65_535, "a chunk": 65_536, "a chunk and one": 65_537, "three chunks": 190_000}
    given += [(name, size, None) for name, size in sizes.items()]
    cases = []
    for name, size, plain in given:
        secrets = {"content_id": tape.hex(16), "key": tape.hex(32), "hdr": tape.hex(24)}
        cases.append(FILES.complete({"name": name, **secrets, "size": size, "plain": plain}))
    return cases


def files_refused(tape: Tape) -> list[Case]:
    key, hdr, cid = tape.b(32), tape.b(24), tape.b(16)
    plain = tape.b(70_001)
    ct = file.seal(key, hdr, cid, plain)
    chunk = file.CHUNK + file.OVERHEAD
    cases: list[Case] = []

    def refused(name: str, data: bytes, size: int = 70_001, **changes: Any) -> None:
        named = {"ct_size": len(data), "ct_hash": file.ct_hash(hdr, data).hex(), "ct": data.hex()}
        secrets = {"content_id": cid.hex(), "key": key.hex(), "hdr": hdr.hex()}
        cases.append({"name": name, **secrets, "size": size, **named, **changes})

    small = file.seal(key, hdr, cid, b"Hello, file!")
    refused("wrong hash", small, 12, ct_hash=tape.hex(32))
    refused("hash without the header", small, 12, ct_hash=file.ct_hash(b"", small).hex())
    refused("wrong ct_size", small, 12, ct_size=len(small) + 1)
    refused("a size that pads to less", small, 11)
    refused("a size that pads to more", small, 13)
    refused("a flipped bit", small[:-1] + bytes([small[-1] ^ 1]), 12)
    refused("another key", small, 12, key=tape.hex(32))
    refused("another content_id", small, 12, content_id=tape.hex(16))
    refused("a byte more", small + b"\0", 12)
    refused("without FINAL", _without_final(key, hdr, cid, b"Hello, file!"), 12)
    refused("the last chunk is missing", ct[:chunk], file.CHUNK)
    refused("chunks swapped", ct[chunk:] + ct[:chunk])
    return cases


def _without_final(key: bytes, hdr: bytes, cid: bytes, plain: bytes) -> bytes:
    state = file._state(key, hdr)
    sealed: bytes = sodium.crypto_secretstream_xchacha20poly1305_push(state, plain, cid, file.MESSAGE)
    return sealed


def _report(tape: Tape, name: str, suite: int) -> Case:
    header = message.Header(1, 0, 0, tape.below(99), tape.b(32), tape.b(16)).encode()
    text = bytes(16) + tape.words(12).encode()
    padded = content.pad(Content(1, tape.b(16), START_MS, 0, (), text).encode())
    secrets = {"mk": tape.hex(32), "header": header.hex(), "padded": padded.hex(), "k_srv": tape.hex(32)}
    route = {
        "from_user": tape.hex(32),
        "from_device": tape.hex(16),
        "to_user": tape.hex(32),
        "time_ms": START_MS,
    }
    return REPORTS.complete({"name": name, "suite": suite, **secrets, **route})


def reports(tape: Tape) -> list[Case]:
    return [_report(tape, f"suite {suite}", suite) for suite in (1, 2, 3)]


def _uncommitted(tape: Tape, name: str, suite: int) -> Case:
    """The stamp is true, but the sender's commitment was not to this key: the recipient refused it too."""
    case = _report(tape, name, suite)
    return _stamped(case, bytes.fromhex(case["header"]), tape.b(32))


def _stamped(case: Case, header: bytes, commit: bytes) -> Case:
    """The report with this header and commitment, and the true stamp of them."""
    ct = bytes.fromhex(case.pop("ct"))
    user, device, to = (bytes.fromhex(case[field]) for field in ("from_user", "from_device", "to_user"))
    route = Route(user, device, to, START_MS)
    env, k_srv = message.envelope(header, commit, ct), bytes.fromhex(case["k_srv"])
    del case["env"]
    return {
        **case,
        "header": header.hex(),
        "commit": commit.hex(),
        "stamp": report.stamp(k_srv, env, route).hex(),
    }


def _unpaired(tape: Tape, name: str, suite: int) -> Case:
    """All of it is true, but for a class that the header cannot have."""
    case = _report(tape, name, suite)
    raw = bytes.fromhex(case["header"])
    header, mk = raw[:1] + b"\0" + raw[2:], bytes.fromhex(case["mk"])
    commit = message.commitment(mk, header)
    return _stamped(case, header, commit)


def reports_refused(tape: Tape) -> list[Case]:
    cases = []
    for suite in (1, 2):
        good = _report(tape, "good", suite)
        del good["ct"], good["env"]
        text = bytes.fromhex(good["padded"])
        changed: dict[str, dict[str, Any]] = {
            "another text": {"padded": (text[:60] + bytes([text[60] ^ 1]) + text[61:]).hex()},
            "padded to more": {"padded": (text + bytes(256)).hex()},
            "another key": {"mk": tape.hex(32)},
            "another commitment": {"commit": tape.hex(32)},
            "another time": {"time_ms": START_MS + 1},
            "another sender": {"from_user": tape.hex(32)},
            "another device": {"from_device": tape.hex(16)},
            "another recipient": {"to_user": tape.hex(32)},
            "another server": {"k_srv": tape.hex(32)},
            "another suite": {"suite": 3 - suite},
            "a made-up stamp": {"stamp": tape.hex(32)},
        }
        for what, changes in changed.items():
            cases.append({**good, "name": f"{what}, suite {suite}", **changes})
        mk, header = tape.b(32), bytes.fromhex(good["header"])
        commit = message.commitment(mk, header).hex()
        cases.append(
            {
                **good,
                "name": f"another key with its commitment, suite {suite}",
                "mk": mk.hex(),
                "commit": commit,
            }
        )
        cases.append(_uncommitted(tape, f"a commitment to another key, suite {suite}", suite))
        cases.append(_unpaired(tape, f"a header of class 0, suite {suite}", suite))
    return cases
