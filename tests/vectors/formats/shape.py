"""Values of a case: hex, numbers, sides. What has the wrong shape is `Wrong`.

`Structure` is one kind of case whose computed fields follow from its inputs.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hw1.log import Side
from hw1.refused import Refused

Case = dict[str, Any]
MAX_NUMBER = 2**53 - 1
HEX = re.compile(r"(?:[0-9a-f]{2})*")


class Wrong(Exception):
    """A case that does not verify, and where."""


def hexed(value: Any, size: int | None = None) -> bytes:
    """The bytes of a lower-case hex string."""
    if not isinstance(value, str) or not HEX.fullmatch(value):
        raise Wrong(f"not lower-case hex: {str(value)[:40]}")
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise Wrong(f"{len(data)} bytes, not {size}")
    return data


def b(case: Case, name: str, size: int | None = None) -> bytes:
    return hexed(case[name], size)


def maybe_b(case: Case, name: str, size: int | None = None) -> bytes | None:
    return None if case[name] is None else b(case, name, size)


def many_b(case: Case, name: str, size: int | None = None) -> list[bytes]:
    return [hexed(value, size) for value in case[name]]


def n(case: Case, name: str) -> int:
    value = case[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise Wrong(f"{name} is no number of 0 to 2^53 - 1")
    return value


def text(case: Case, name: str) -> str:
    value = case[name]
    if not isinstance(value, str):
        raise Wrong(f"{name} is no text")
    return value


def side(case: Case) -> Side:
    exactly(case, ("log_id", "seq", "head"))
    return Side(b(case, "log_id", 32), n(case, "seq"), b(case, "head", 32))


def side_json(value: Side) -> Case:
    return {"log_id": value.log_id.hex(), "seq": value.seq, "head": value.head.hex()}


def exactly(case: Case, names: Iterable[str]) -> None:
    """Refuses missing and unknown fields."""
    missing, unknown = set(names) - set(case), set(case) - set(names)
    if missing or unknown:
        raise Wrong(f"missing {sorted(missing)}, unknown {sorted(unknown)}")


def same(where: str, found: Any, computed: Any) -> None:
    """Compares, and says the innermost place that differs."""
    if isinstance(found, dict) and isinstance(computed, dict):
        exactly(found, computed)
        for name in computed:
            same(f"{where}/{name}", found[name], computed[name])
    elif isinstance(found, list) and isinstance(computed, list) and len(found) == len(computed):
        for index, (left, right) in enumerate(zip(found, computed, strict=True)):
            same(f"{where}/{index}", left, right)
    elif type(found) is not type(computed) or found != computed:
        raise Wrong(f"{where}: has {str(found)[:80]}, computed {str(computed)[:80]}")


def judged(judge: Callable[[], object]) -> str | None:
    """The code with which something is refused; None if it is not."""
    try:
        judge()
    except Refused as refused:
        return refused.code
    return None


@dataclass(frozen=True)
class Structure:
    """A kind of case: its input fields, and the function that computes the others.

    Nested inputs have computed fields of their own: then `compute` gives the whole field again.
    """

    inputs: tuple[str, ...]
    compute: Callable[[Case], Case]

    def complete(self, case: Case) -> Case:
        """The case with all computed fields."""
        inputs = {name: case[name] for name in self.inputs}
        return {"name": case["name"], **inputs, **self.compute(case)}

    def check(self, case: Case) -> None:
        """Raises unless the case is exactly what it would be completed to."""
        same("", case, self.complete(case))
