"""Holds docs/api/schema.json against docs/PROTOCOL.md: every worked example validates against the
schema of its type, and spoilt copies of it do not. The schema is checked with a validator that
knows nothing of the types that it was made from.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCS = Path(__file__).resolve().parents[2] / "docs"
FRAMES = {"client": "ClientFrame", "server": "ServerFrame"}
EXAMPLE = re.compile(r"^```json (\w+)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
LEAST_EXAMPLES, LEAST_SPOILT = 35, 300


def spoilt(value: Any) -> Iterator[Any]:
    """Copies with one thing wrong: another JSON type, an id that is short, a number below zero."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for other in spoilt(inner):
                yield {**value, name: other}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            for other in spoilt(inner):
                yield [*value[:at], other, *value[at + 1 :]]
        yield {}
    elif isinstance(value, bool):
        yield "true"
    elif isinstance(value, int):
        yield from (-1, str(value), 0.5, 1 << 53)
    else:
        yield 7
        if len(value) in (22, 43) and re.fullmatch(r"[\w-]+", value):
            yield from (value[:-1], value + "A", value[:-1] + "B", value[:-1] + "=")


def main() -> None:
    schema = json.loads((DOCS / "api/schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    examples = EXAMPLE.findall((DOCS / "PROTOCOL.md").read_text())
    refused = 0
    for kind, text in examples:
        name, example = FRAMES.get(kind, kind), json.loads(text)
        validator = Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})
        validator.validate(example)
        wrong = list(spoilt(example))
        if schema["$defs"][name].get("additionalProperties") is False:
            wrong.append({**example, "unknown": 1})
        for gone in schema["$defs"][name]["required"]:
            wrong.append({field: inner for field, inner in example.items() if field != gone})
        for other in wrong:
            assert not validator.is_valid(other), f"{name} allows {json.dumps(other)}"
        refused += len(wrong)
    assert len(examples) >= LEAST_EXAMPLES, f"only {len(examples)} examples were found"
    assert refused >= LEAST_SPOILT, f"only {refused} spoilt copies were made"
    print(f"{len(examples)} examples validate, {refused} spoilt copies do not.")


if __name__ == "__main__":
    main()
