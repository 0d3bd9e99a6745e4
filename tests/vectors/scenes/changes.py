"""The mutations: changes to committed cases, each of which must fail to verify.

Each output of each kind is flipped, cut or prolonged somewhere; some inputs and outcomes are changed.
"""

from typing import Any

from formats.shape import Case
from scenes.tape import Tape

Files = dict[str, Case]


def mutations(tape: Tape, files: Files) -> list[Case]:
    """Changes by rule to every file, and some by hand to conversations."""
    cases: list[Case] = []
    for name in sorted(files):
        if files[name]["kind"] == "conversations":
            continue
        for hows in (("flip",), ("truncate", "extend")):
            cases += _of(tape, name, files[name], hows)
    cases += _conversations(tape, files)
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names)
    return cases


# Where nothing computed is hex, or any change of it stays refused.
BY_HAND = {
    "logs-refused": ("/code", "LOG_FORK"),
    "prekey-rules": ("/code", "PREKEY_ROLLBACK"),
    "headers-refused": ("/code", "EPOCH_SUITE"),
    "recovery-refused": ("/code", "BAD_CONTENT"),
    "contents-refused": ("/verdict", "BAD_TAG"),
    "safety-numbers": ("/number", "00000 " * 11 + "00000"),
    "codes": ("/code", "00000 " * 5 + "00000"),
    "links": ("/link", "alice@chat.example#"),
    "paddings": ("/padded_len", 255),
    "padme": ("/padded", 5),
    "qr": ("/accept", None),
    "signatures": ("/valid", None),
    "identity-keys": ("/x25519", "00" * 32),
    "exchanges": ("/shared", "00" * 32),
}
# One computed field of each other kind.
COMPUTED = {
    "logs": ("/entries/0/wire", "/entries/0/sig", "/head", "/devices/0/x25519", "/devices/0/device_id"),
    "logins": ("/signature", "/signed", "/key_id"),
    "prekeys": ("/record", "/x25519", "/pq_hash"),
    "requests": ("/bytes", "/request_id"),
    "headers": ("/header", "/epoch_id", "/kc"),
    "recovery": ("/seed", "/rk", "/recovery_id", "/entropy"),
    "contents": ("/body", "/content", "/padded"),
    "files": ("/ct_hash", "/key", "/hdr", "/content_id"),
    "reports": ("/stamp", "/env", "/ct", "/commit", "/mk", "/k_srv"),
    "xwing": ("/pk", "/ct", "/ss", "/seed", "/eseed"),
}


def _of(tape: Tape, name: str, file: Case, hows: tuple[str, ...]) -> list[Case]:
    kind, cases = file["kind"], file["cases"]
    if kind in BY_HAND and hows == ("flip",):
        at, value = BY_HAND[kind]
        fit = [case for case in cases if at_pointer(case, at) != value]
        case = fit[tape.below(len(fit))]
        return [_change(name, case, at, "set", value), _change(name, case, at, "remove", None)]
    made = []
    for at in COMPUTED.get(kind, ()):
        fit = [case for case in cases if isinstance(at_pointer(case, at), str)]
        case = fit[tape.below(len(fit))]
        bits = bits_that_matter(case, at)
        how = hows[tape.below(len(hows))]
        given = {"flip": tape.below(max(1, bits)), "truncate": 1, "extend": "00"}[how]
        if bits or how == "extend":
            made.append(_change(name, case, at, how, given))
    return made


def bits_that_matter(case: Case, pointer: str) -> int:
    """How many bits from the first one may be flipped. X25519 ignores five bits of a secret key."""
    bits = 4 * len(at_pointer(case, pointer))
    return min(bits, 256) if pointer.endswith(("/eseed", "/tape")) else bits


def at_pointer(case: Case, pointer: str) -> Any:
    """The value there; None if there is no such place."""
    value: Any = case
    try:
        for part in pointer.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part]
    except LookupError:
        return None
    return value


def _change(file: str, case: Case, at: str, how: str, given: object) -> Case:
    name = f"{file.removesuffix('.json')}, {case['name']}: {how} {at}"
    return {"name": name, "file": file, "case": case["name"], "at": at, "how": how, "with": given}


def _conversations(tape: Tape, files: Files) -> list[Case]:
    """In each file of conversations: outcomes turned, bytes flipped, steps swapped or left out."""
    made = []
    for name in sorted(files):
        if files[name]["kind"] != "conversations":
            continue
        case = files[name]["cases"][0]
        steps = case["steps"]
        for do, at, how in (
            ("log", "entry/wire", "flip"),
            ("prekey", "prekey/record", "flip"),
            ("epoch", "header/header", "flip"),
            ("epoch", "tape", "flip"),
            ("epoch", "tape", "truncate"),
            ("epoch", "wraps/0/wrap", "flip"),
            ("epoch", "wraps/0/as", "flip"),
            ("epoch", "chains/1/lane1", "flip"),
            ("take", "expect", "set"),
            ("send", "ct", "flip"),
            ("send", "ct", "extend"),
            ("send", "tags/0/tag", "flip"),
            ("send", "upload", "truncate"),
            ("send", "rnd16", "flip"),
            ("send", "content/padded", "flip"),
            ("send", "counter", "set"),
            ("receive", "expect", "set"),
        ):
            index = _pick(tape, steps, do)
            pointer = f"/steps/{index}/{at}"
            wanted = {"set": "BAD_AEAD", "truncate": 1, "extend": "00"}
            given: object = wanted.get(how, 0)
            if at == "counter":
                given = 4242
            if how == "flip":
                given = tape.below(bits_that_matter(case, pointer))
            made.append(_change(name, case, pointer, how, given))
        made.append(_change(name, case, f"/steps/{_pick(tape, steps, 'log')}", "remove", None))
        made.append(_change(name, case, f"/steps/{_pick(tape, steps, 'prekey')}", "remove", None))
        first, second = (f"/steps/{_pick(tape, steps, do)}" for do in ("epoch", "receive"))
        made.append(_change(name, case, first, "swap", second))
        tags = next(
            (at for at, step in enumerate(steps) if step["do"] == "send" and len(step["tags"]) > 1), None
        )
        if tags is not None:
            made.append(_change(name, case, f"/steps/{tags}/tags/0/tag", "swap", f"/steps/{tags}/tags/1/tag"))
    return made


def _pick(tape: Tape, steps: list[Case], do: str) -> int:
    places = [at for at, step in enumerate(steps) if step["do"] == do]
    return places[tape.below(len(places))]
