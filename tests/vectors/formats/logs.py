"""Kinds `logs`, `logs-refused`, `logins`: device logs (CRYPTO 3)."""

from formats.shape import Case, Structure, Wrong, b, many_b, n, side, text
from hw1 import keys, log, login
from hw1.hash import sign
from hw1.log import Body, Log
from hw1.refused import Refused

TYPES = {
    "genesis": (log.GENESIS, ("domain", "handle", "kind", "suites")),
    "add": (log.ADD, ("new_seed", "kind", "suites")),
    "revoke": (log.REVOKE, ("devices", "reason")),
    "rec_add": (log.REC_ADD, ("new_seed",)),
    "rec_del": (log.REC_DEL, ("recovery_id",)),
}


def entry_inputs(entry: Case) -> Case:
    """The input fields of an entry, and no others."""
    names = ("type", "time_ms", "signer_seed", *TYPES[entry["type"]][1])
    return {name: entry[name] for name in names}


def complete_entry(known: Log, entry: Case) -> Case:
    """One entry after a log, with its computed fields."""
    inputs = entry_inputs(entry)
    type_, _ = TYPES[inputs["type"]]
    signer = b(inputs, "signer_seed", 32)
    log_id = known.log_id if known.heads else log.ZERO
    prev = known.heads[-1] if known.heads else log.ZERO
    payload, claim = _payload(inputs, log_id)
    signer_id = keys.device_id(keys.public_of_seed(signer))
    body = Body(type_, len(known.heads), log_id, prev, n(inputs, "time_ms"), signer_id, payload).encode()
    wire = log.signed_wire(body, claim, signer)
    return {
        **inputs,
        "body": body.hex(),
        "claim": claim.hex() or None,
        "sig": wire[-64:].hex(),
        "wire": wire.hex(),
        "entry_hash": log.entry_hash(wire).hex(),
    }


def _payload(entry: Case, log_id: bytes) -> tuple[bytes, bytes]:
    """(payload, claim signature or nothing)."""
    match entry["type"]:
        case "genesis":
            ik = keys.public_of_seed(b(entry, "signer_seed", 32))
            names = text(entry, "domain"), text(entry, "handle")
            return log.genesis_payload(*names, ik, n(entry, "kind"), n(entry, "suites")), b""
        case "revoke":
            return log.revoke_payload(many_b(entry, "devices", 16), n(entry, "reason")), b""
        case "rec_del":
            return b(entry, "recovery_id", 16), b""
    seed = b(entry, "new_seed", 32)
    key = keys.public_of_seed(seed)
    if entry["type"] == "rec_add":
        claimed = log.claim_input(log_id, key, log.RECOVERY_KIND, 0)
        return key, sign(seed, "claim", claimed)
    kind, suites = n(entry, "kind"), n(entry, "suites")
    payload = log.add_payload(key, kind, suites)
    return payload, sign(seed, "claim", log.claim_input(log_id, key, kind, suites))


def _logs(case: Case) -> Case:
    known, entries = Log(), []
    for entry in case["entries"]:
        entries.append(complete_entry(known, entry))
        known.append(bytes.fromhex(entries[-1]["wire"]))
    return {
        "entries": entries,
        "log_id": known.log_id.hex(),
        "seq": known.seq,
        "head": known.heads[-1].hex(),
        "devices": [
            {
                "device_id": device.device_id.hex(),
                "ik": device.ik.hex(),
                "x25519": keys.x_public(device.ik).hex(),
                "kind": device.kind,
                "suites": device.suites,
            }
            for device in known.devices()
        ],
        "recovery": [
            {"recovery_id": key_id.hex(), "rk": known.recovery[key_id].hex()}
            for key_id in sorted(known.recovery)
        ],
    }


def _logs_refused(case: Case) -> Case:
    known, code = log.verify(many_b(case, "entries"))
    if code is None and case["pin"] is not None:
        try:
            log.check_pin(known, side(case["pin"]))
        except Refused as refused:
            code = refused.code
    if code is None:
        raise Wrong("is valid")
    return {"accepted": len(known.heads), "code": code}


def _logins(case: Case) -> Case:
    named = text(case, "domain"), b(case, "server_nonce", 32), b(case, "log_id", 32)
    key_id, signed, signature = login.login(b(case, "seed", 32), *named)
    return {"key_id": key_id.hex(), "signed": signed.hex(), "signature": signature.hex()}


LOGS = Structure(("entries",), _logs)
LOGS_REFUSED = Structure(("entries", "pin"), _logs_refused)
LOGINS = Structure(("seed", "domain", "server_nonce", "log_id"), _logins)
