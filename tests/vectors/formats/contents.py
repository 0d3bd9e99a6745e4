"""Kinds `contents`, `contents-refused`, `paddings` (CRYPTO 6 and 7)."""

from typing import Any

from formats.shape import Case, Structure, Wrong, b, exactly, hexed, n, text
from hw1 import body, content
from hw1.content import Content, Dropped
from hw1.refused import Refused

INPUTS = ("type", "class", "lane", "content_id", "sent_ms", "prev_sent", "seen", "fields")
NUMBER, TEXT, BYTES, IDS, ITEMS = "number", "text", "bytes", "ids", "items"
# The fields of each type; a number is a size in bytes.
FIELDS: dict[int, dict[str, int | str]] = {
    1: {"reply_to": 16, "text": TEXT},
    2: {"target": 16, "rev": NUMBER, "text": TEXT},
    3: {"target": 16},
    4: {
        "mime": TEXT,
        "file_name": TEXT,
        "size": NUMBER,
        "ct_size": NUMBER,
        "blob": 16,
        "key": 32,
        "hdr": 24,
        "ct_hash": 32,
        "thumbnail": BYTES,
    },
    5: {"call_id": 16, "sub": NUMBER, "expires_ms": NUMBER, "payload": BYTES},
    6: {"receipt": NUMBER, "ids": IDS},
    7: {"sub": NUMBER, "data": BYTES},
    8: {"on": NUMBER},
    9: {"target": 16, "reaction": TEXT},
    10: {"seconds": NUMBER},
    11: {"items": ITEMS},
    12: {"display_name": TEXT},
}


def fields_of(type_: int, case: Case) -> dict[str, Any]:
    """The plain values of JSON fields."""
    exactly(case, FIELDS[type_])
    return {name: _value(kind, case, name) for name, kind in FIELDS[type_].items()}


def _value(kind: int | str, case: Case, name: str) -> Any:
    if isinstance(kind, int):
        return b(case, name, kind)
    if kind == ITEMS:
        return [_item(item) for item in case[name]]
    if kind == IDS:
        return [hexed(value, 16) for value in case[name]]
    readers = {NUMBER: n, TEXT: text, BYTES: b}
    return readers[kind](case, name)


def _item(item: Case) -> dict[str, Any]:
    exactly(item, ("content_id", "type", "fields"))
    type_ = n(item, "type")
    return {
        "content_id": b(item, "content_id", 16),
        "type": type_,
        "fields": fields_of(type_, item["fields"]),
    }


def content_of(case: Case) -> Content:
    """The content that the fields of a case make."""
    type_ = n(case, "type")
    data = body.encode(type_, fields_of(type_, case["fields"]))
    seen = tuple(n({"seen": count}, "seen") for count in case["seen"])
    return Content(type_, b(case, "content_id", 16), n(case, "sent_ms"), n(case, "prev_sent"), seen, data)


def complete_content(case: Case) -> Case:
    """The inputs of a content and its computed fields; inside a conversation it has no name."""
    made = content_of(case)
    data = made.encode()
    return {
        **{name: case[name] for name in INPUTS},
        "body": made.body.hex(),
        "content": data.hex(),
        "padded": content.pad(data).hex(),
    }


def _contents(case: Case) -> Case:
    computed = complete_content(case)
    padded, made = bytes.fromhex(computed["padded"]), content_of(case)
    opened = content.open_(padded, n(case, "class"), n(case, "lane"), len(made.seen))
    if opened != made:
        raise Wrong("does not open to itself")
    return computed


def _contents_refused(case: Case) -> Case:
    try:
        content.open_(b(case, "padded"), n(case, "class"), n(case, "lane"), n(case, "roster"))
    except Dropped:
        return {"verdict": "DROP"}
    except Refused as refused:
        return {"verdict": refused.code}
    raise Wrong("is valid")


CONTENTS = Structure(INPUTS, _contents)
CONTENTS_REFUSED = Structure(("class", "lane", "roster", "padded"), _contents_refused)
PADDINGS = Structure(
    ("content_len",), lambda case: {"padded_len": content.padded_len(n(case, "content_len"))}
)
