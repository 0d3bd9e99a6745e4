#!/usr/bin/env python3
"""Edge cases of the primitives, with the verdicts of libsodium: writes and checks edges/*.json.

With the packages of requirements.txt, `check_edges.py` makes every case again, asks libsodium
(PyNaCl) and OpenSSL (cryptography) again, and compares with the committed files; `check_edges.py
write` replaces them. The curve arithmetic in `edges/` is written from the equations of RFC 7748 and
RFC 8032 and shares no code with the implementations under test.
"""

import json
import pathlib
import sys

# No __pycache__ beside the vectors.
sys.dont_write_bytecode = True

HERE = pathlib.Path(__file__).resolve().parent

from edges import exchange, keys, salamander, seals, signatures, xwing  # noqa: E402

FILES = {
    "signatures.json": signatures.cases,
    "keys.json": keys.cases,
    "exchanges.json": exchange.cases,
    "seals.json": seals.cases,
    # Made by edges/xwing.mjs; here it is only computed again.
    "xwing.json": xwing.cases,
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
        if sys.argv[1:] == ["write"] and make is not xwing.cases:
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
