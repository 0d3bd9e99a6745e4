#!/usr/bin/env python3
"""Edge cases of the primitives, with the verdicts of libsodium: writes and checks edges/*.json.

`python3 check_edges.py` makes every case again, asks libsodium (PyNaCl) and OpenSSL (cryptography) again,
and compares with the committed files; `python3 check_edges.py write` replaces them. The curve arithmetic
in `edges/` is written from the equations of RFC 7748 and RFC 8032 and shares no code with the
implementations under test.
"""

import json
import os
import pathlib
import sys

# No __pycache__ beside the vectors.
sys.dont_write_bytecode = True

HERE = pathlib.Path(__file__).resolve().parent

try:
    import nacl.bindings  # noqa: F401
except ImportError:
    # The environment that scripts/setup makes.
    python = HERE.parents[1] / "target" / "python" / "bin" / "python3"
    if not python.exists() or sys.executable == str(python):
        sys.exit("check_edges.py: PyNaCl is missing: run scripts/setup")
    os.execv(python, [str(python), *sys.argv])

from edges import exchange, keys, salamander, seals, signatures  # noqa: E402

FILES = {
    "signatures.json": signatures.cases,
    "keys.json": keys.cases,
    "exchanges.json": exchange.cases,
    "seals.json": seals.cases,
    "salamander.json": salamander.cases,
}


def text(cases):
    """One case a line, so that a change shows as one."""
    lines = ",\n".join(" " + json.dumps(case) for case in cases)
    return "[\n" + lines + "\n]\n"


def main():
    wrong = 0
    for name, make in FILES.items():
        cases = make()
        assert len({case["name"] for case in cases}) == len(cases), "two cases of one name"
        path = HERE / "edges" / name
        if sys.argv[1:] == ["write"]:
            path.write_text(text(cases), encoding="ascii")
            print(f"{name}: {len(cases)} cases written")
            continue
        committed = {case["name"]: case for case in json.loads(path.read_text(encoding="ascii"))}
        made = {case["name"]: case for case in cases}
        differ = [key for key in made.keys() | committed.keys() if made.get(key) != committed.get(key)]
        for key in sorted(differ):
            print(f"{name}: {key}: made {made.get(key)}, committed {committed.get(key)}")
        print(f"{name}: {len(cases)} cases, {len(differ)} differ")
        wrong += len(differ)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
