"""The bodies of the content types (CRYPTO 7): encoded from their fields, and checked.

A body that does not parse is BAD_CONTENT. Fields are plain values: bytes, text, numbers, lists.
"""

from collections.abc import Callable
from typing import Any

from hw1 import file
from hw1.layout import Reader, u8, u16, u32, u64, v8, v16, v32
from hw1.refused import Refused, require

BAD = "BAD_CONTENT"
THUMBNAIL = 16 * 1024
REACTION = 64
CALL_MS = 60_000
ANSWER = 2
OFFER_HASH = 32
RECEIPT_IDS = range(1, 26)
BATCH = 11
PARTS = range(1, 17)
Fields = dict[str, Any]


def encode(type_: int, f: Fields) -> bytes:
    """The body of a type of 1 to 12."""
    return bytes(ENCODERS[type_](f))


def _file(f: Fields) -> bytes:
    start = v8(f["mime"].encode()) + v16(f["file_name"].encode()) + u64(f["size"]) + u64(f["ct_size"])
    return bytes(start + f["blob"] + f["key"] + f["hdr"] + f["ct_hash"] + v16(f["thumbnail"]))


def _item(item: Fields) -> bytes:
    return bytes(item["content_id"] + u8(item["type"]) + v32(encode(item["type"], item["fields"])))


ENCODERS: dict[int, Callable[[Fields], Any]] = {
    1: lambda f: f["reply_to"] + f["text"].encode(),
    2: lambda f: f["target"] + u16(f["rev"]) + f["text"].encode(),
    3: lambda f: f["target"],
    4: _file,
    5: lambda f: f["call_id"] + u8(f["sub"]) + u64(f["expires_ms"]) + v16(f["payload"]),
    6: lambda f: u8(f["receipt"]) + u16(len(f["ids"])) + b"".join(f["ids"]),
    7: lambda f: u8(f["sub"]) + v32(f["data"]),
    8: lambda f: u8(f["on"]),
    9: lambda f: f["target"] + v8(f["reaction"].encode()),
    10: lambda f: u32(f["seconds"]),
    11: lambda f: u8(len(f["items"])) + b"".join(_item(item) for item in f["items"]),
    12: lambda f: v8(f["display_name"].encode()),
}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise Refused(BAD, "not UTF-8") from wrong


def check(type_: int, data: bytes, sent_ms: int) -> None:
    """Refuses a body that is not one of its type; `sent_ms` is the content's."""
    reader = Reader(data, BAD)
    match type_:
        case 1:
            reader.b(16)
            _text(reader.rest())
        case 2:
            reader.b(18)
            _text(reader.rest())
        case 3:
            reader.b(16)
        case 4:
            _check_file(reader)
        case 5:
            reader.b(16)
            _check_call(reader, sent_ms)
        case 6:
            require(1 <= reader.u8() <= 2, BAD, "kind of receipt")
            count = reader.u16()
            require(count in RECEIPT_IDS, BAD, "1 to 25 ids in a receipt")
            reader.b(16 * count)
        case 7:
            reader.u8()
            reader.v32()
        case 8:
            require(reader.u8() <= 1, BAD, "on is 0 or 1")
        case 9:
            reader.b(16)
            require(len(_text(reader.v8()).encode()) <= REACTION, BAD, "reaction")
        case 10:
            reader.u32()
        case 11:
            _check_batch(reader, sent_ms)
        case 12:
            _text(reader.v8())
    reader.end()


def _check_file(reader: Reader) -> None:
    _text(reader.v8())
    _text(reader.v16())
    size, ct_size = reader.u64(), reader.u64()
    require(size <= file.MAX_SIZE, BAD, "size")
    require(ct_size == file.ct_size(size), BAD, "ct_size is not what size gives")
    reader.b(16 + 32 + 24 + 32)
    require(len(reader.v16()) <= THUMBNAIL, BAD, "thumbnail")


def _check_call(reader: Reader, sent_ms: int) -> None:
    sub = reader.u8()
    require(1 <= sub <= 4, BAD, "sub")
    require(reader.u64() <= sent_ms + CALL_MS, BAD, "expires more than 60 s after it was sent")
    payload = reader.v16()
    require(sub != ANSWER or len(payload) >= OFFER_HASH, BAD, "an answer without the hash of its offer")


def _check_batch(reader: Reader, sent_ms: int) -> None:
    count = reader.u8()
    require(count in PARTS, BAD, "1 to 16 in a batch")
    for _ in range(count):
        reader.b(16)
        type_ = reader.u8()
        require(type_ in (1, 9), BAD, "texts and reactions only")
        check(type_, reader.v32(), sent_ms)


def file_size(data: bytes) -> int:
    """The size that the body of a file names."""
    reader = Reader(data, BAD)
    reader.v8()
    reader.v16()
    return reader.u64()


def part_ids(type_: int, data: bytes) -> list[bytes]:
    """The content ids of a batch's parts; none for other types."""
    if type_ != BATCH:
        return []
    reader = Reader(data, BAD)
    ids = []
    for _ in range(reader.u8()):
        ids.append(reader.b(16))
        reader.u8()
        reader.v32()
    return ids


def sync_sub(data: bytes) -> int:
    """The sub that the body of a self-sync names."""
    return data[0]


def target(type_: int, data: bytes) -> bytes | None:
    """The content that an edit or a removal is about."""
    return data[:16] if type_ in (2, 3) else None
