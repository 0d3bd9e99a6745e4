#!/usr/bin/env python3
"""Derives hw1-first.json again with nothing but hashlib, and says what differs.

It shares no code with the Rust or TypeScript implementation: run `python3 check_first.py`.
"""

import hashlib
import json
import pathlib
import sys


def d(label):
    text = b"hw1/" + label.encode("ascii")
    return bytes([len(text)]) + text


def h(label, data):
    return hashlib.blake2b(d(label) + data, digest_size=32).digest()


def kdf(key, label, data, size=32):
    return hashlib.blake2b(d(label) + data, key=key, digest_size=size).digest()


def u32(value):
    return value.to_bytes(4, "big")


def derive(i):
    def b(name):
        return bytes.fromhex(i[name])

    key, epoch, dev, dev2 = b("K"), b("epoch_id"), b("dev"), b("dev2")
    lane = bytes([i["lane"]])
    out = {"device_id": h("device", b("ik"))[:16], "kc": kdf(key, "kc", b"")}
    out["ck0"] = kdf(key, "chain", epoch + dev + lane)
    out["salt"] = kdf(out["ck0"], "salt", b("rnd") + bytes(i["padded_len"]), 16)
    out["header"] = (
        bytes([1, i["class"], i["sender"]]) + lane + u32(i["counter"]) + epoch + out["salt"]
    )
    out["sk0"] = kdf(out["ck0"], "msg", b"")
    out["mk"] = kdf(out["sk0"], "msg", out["header"])
    out["enc"] = kdf(out["mk"], "enc", b"")
    out["commit"] = kdf(out["mk"], "commit", out["header"])
    out["ck1"] = kdf(out["ck0"], "next", b"")
    out["m"] = kdf(b("dh"), "mac", epoch + dev + dev2)
    ct = b("ct_byte") * i["ct_len"]
    out["env"] = h("env", out["header"] + out["commit"] + u32(len(ct)) + ct)
    out["tag"] = kdf(out["m"], "tag", out["env"], 16)
    kem = h("kem", b("wrap_pk") + b("wrap_ct"))
    bound = epoch + dev + dev2 + u32(i["wrap_prekey_id"]) + kem
    out["wk"] = kdf(b("wrap_ss") + b("wrap_as"), "wrap", bound)
    return {name: value.hex() for name, value in out.items()}


def main():
    path = pathlib.Path(__file__).with_name("hw1-first.json")
    vectors = json.loads(path.read_text(encoding="ascii"))
    derived, expected = derive(vectors["inputs"]), vectors["expected"]
    wrong = [name for name in derived.keys() | expected.keys() if derived.get(name) != expected.get(name)]
    for name in sorted(wrong):
        print(f"{name}: derived {derived.get(name)}, expected {expected.get(name)}")
    print(f"{len(derived)} values, {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
