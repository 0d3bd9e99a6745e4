"""Kind `mutations`: changes to cases of other files, each of which must fail to verify."""

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from formats.shape import Case, Wrong, exactly

KIND = "mutations"
FIELDS = ("name", "file", "case", "at", "how", "with")
Failure = Callable[[str, Case], str | None]


@cache
def _file(path: Path) -> Case:
    found: Case = json.loads(path.read_text(encoding="utf-8"))
    return found


def _place(case: Case, pointer: str) -> tuple[Any, Any]:
    """(the container, the key in it) of a JSON pointer."""
    container: Any = case
    *before, last = pointer.split("/")[1:]
    for part in before:
        container = container[int(part)] if isinstance(container, list) else container[part]
    key: Any = int(last) if isinstance(container, list) else last
    container[key]
    return container, key


def mutated(case: Case, mutation: Case) -> Case:
    """A copy of the case with the change."""
    changed = copy.deepcopy(case)
    container, key = _place(changed, mutation["at"])
    value, given = container[key], mutation["with"]
    match mutation["how"]:
        case "flip":
            data = bytearray.fromhex(value)
            data[given // 8] ^= 0x80 >> given % 8
            container[key] = data.hex()
        case "truncate":
            container[key] = value[: len(value) - 2 * given]
        case "extend":
            container[key] = value + given
        case "swap":
            other, other_key = _place(changed, given)
            container[key], other[other_key] = other[other_key], value
        case "set":
            container[key] = given
        case "remove":
            del container[key]
        case _:
            raise Wrong("unknown mutation")
    if changed == case:
        raise Wrong(f"{mutation['name']} changes nothing")
    return changed


def accepted(path: Path, mutations: list[Case], failure: Failure) -> list[str]:
    """The mutations that verify although they must not."""
    wrong = []
    for mutation in mutations:
        exactly(mutation, FIELDS)
        file = _file(path.parent / mutation["file"])
        case = next(case for case in file["cases"] if case["name"] == mutation["case"])
        if failure(file["kind"], mutated(case, mutation)) is None:
            wrong.append(f"{path.name}: {mutation['name']}: was accepted")
    return wrong
