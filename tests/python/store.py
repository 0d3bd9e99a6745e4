"""One JSON file, replaced as a whole: what is on disk is always one state, never half of two.

It knows no rule. Written as `{"kind": value}` where JSON has no such value; the kinds are bytes, maps
with other keys than strings, tuples, sets and the dataclasses of `KINDS`.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from hw1.acceptance import Published
from hw1.chain import Chain
from hw1.device import Held
from hw1.epoch import Header, Place, PrekeySecret
from hw1.log import Side

KINDS = {kind.__name__: kind for kind in (Chain, Header, Held, Place, PrekeySecret, Published, Side)}


def freeze(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"map": [[freeze(key), freeze(kept)] for key, kept in value.items()]}
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [freeze(kept) for kept in value]}
    if dataclasses.is_dataclass(value):
        names = [known.name for known in dataclasses.fields(value)]
        return {type(value).__name__: {name: freeze(getattr(value, name)) for name in names}}
    return [freeze(kept) for kept in value] if isinstance(value, list) else value


def thaw(value: Any) -> Any:
    if isinstance(value, list):
        return [thaw(kept) for kept in value]
    if not isinstance(value, dict):
        return value
    [(kind, kept)] = value.items()
    match kind:
        case "bytes":
            return bytes.fromhex(kept)
        case "map":
            return {thaw(key): thaw(inner) for key, inner in kept}
        case "tuple" | "set" | "frozenset":
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](thaw(kept))
    return KINDS[kind](**{name: thaw(inner) for name, inner in kept.items()})


def save(path: Path, state: dict[str, Any]) -> None:
    """On disk when it returns. The file holds secrets: nobody else may read it."""
    beside = path.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(freeze(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def load(path: Path) -> dict[str, Any]:
    with open(path) as file:
        state: dict[str, Any] = thaw(json.load(file))
    return state
