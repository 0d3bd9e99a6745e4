"""X-Wing: what libsodium 1.0.22 computed (xwing.mjs), computed again by the second implementation."""

import hashlib
import json
import pathlib

from hw1 import xwing
from nacl.exceptions import CryptoError

FILE = pathlib.Path(__file__).with_name("xwing.json")


def patched(data, patch):
    out = bytearray(data)
    for at, text in patch:
        part = bytes.fromhex(text)
        out[at : at + len(part)] = part
    return bytes(out)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def again(case):
    """The case with what is computed, or refused, here."""
    seed, random = bytes.fromhex(case["seed"]), bytes.fromhex(case["random"])
    public = xwing.public_of_seed(seed)
    key = patched(public, case["patch"]) if case["use"] == "seal" else public
    ct, shared = xwing.encapsulate(key, random) if xwing.is_sealable(key) else (None, None)
    if case["use"] == "open":
        try:
            shared = xwing.decapsulate(seed, patched(ct, case["patch"]))
        except CryptoError:
            shared = None
    return case | {
        "public_sha256": sha256(public),
        "ct_sha256": ct and sha256(ct),
        "shared": shared and shared.hex(),
    }


def cases():
    return [again(case) for case in json.loads(FILE.read_text(encoding="ascii"))]
