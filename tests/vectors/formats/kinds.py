"""Every kind of file, and what checks a case of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formats import contents, conversation, edges, files, headers, logs, people, prekeys
from formats.shape import Case, Structure, Wrong, exactly

FORMAT = "hw1-vectors/1"

STRUCTURES: dict[str, Structure] = {
    "logs": logs.LOGS,
    "logs-refused": logs.LOGS_REFUSED,
    "logins": logs.LOGINS,
    "prekeys": prekeys.PREKEYS,
    "prekey-rules": prekeys.PREKEY_RULES,
    "requests": prekeys.REQUESTS,
    "headers": headers.HEADERS,
    "headers-refused": headers.HEADERS_REFUSED,
    "safety-numbers": people.SAFETY_NUMBERS,
    "qr": people.QR,
    "codes": people.CODES,
    "links": people.LINKS,
    "recovery": people.RECOVERY,
    "recovery-refused": people.RECOVERY_REFUSED,
    "contents": contents.CONTENTS,
    "contents-refused": contents.CONTENTS_REFUSED,
    "paddings": contents.PADDINGS,
    "padme": files.PADME,
    "files": files.FILES,
    "reports": files.REPORTS,
    "xwing": headers.XWING,
    "signatures": edges.SIGNATURES,
    "identity-keys": edges.IDENTITY_KEYS,
    "exchanges": edges.EXCHANGES,
}

CHECKS: dict[str, Callable[[Case], None]] = {
    **{kind: structure.check for kind, structure in STRUCTURES.items()},
    "files-refused": files.check_files_refused,
    "reports-refused": files.check_reports_refused,
    "conversations": conversation.check,
}


def _once(pairs: list[tuple[str, Any]]) -> Case:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("a field twice")
    return found


def read(path: Path) -> Case:
    """A file of vectors, with its outer fields checked."""
    file: Case = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    exactly(file, ("format", "kind", "made_by", "cases"))
    names = [case["name"] for case in file["cases"]]
    if file["format"] != FORMAT or not names or len(set(names)) != len(names):
        raise Wrong(f"{path.name}: format, or names")
    return file
