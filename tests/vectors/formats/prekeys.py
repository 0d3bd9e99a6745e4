"""Kinds `prekeys`, `prekey-rules`, `requests`: what is published and asked (CRYPTO 4 and 9)."""

from formats.shape import Case, Structure, Wrong, b, judged, many_b, maybe_b, n, text
from hw1 import keys, log, prekey, request, xwing
from hw1.log import Side
from hw1.prekey import Prekey
from hw1.suite import bit


def _prekeys(case: Case) -> Case:
    seed, xwing_seed = b(case, "device_seed", 32), maybe_b(case, "xwing_seed", 32)
    if (xwing_seed is not None) != bool(n(case, "suites") & bit(3)):
        raise Wrong("an X-Wing seed goes with suite 3")
    public = None if xwing_seed is None else xwing.public_of_seed(xwing_seed)
    fields = Prekey(
        b(case, "log_id", 32),
        keys.device_id(keys.public_of_seed(seed)),
        n(case, "id"),
        n(case, "day"),
        n(case, "log_seq"),
        b(case, "log_head", 32),
        n(case, "suites"),
        keys.x_base(b(case, "x25519_secret", 32)),
        prekey.pq_hash(public),
    )
    return {
        "device_id": fields.device_id.hex(),
        "x25519": fields.x25519.hex(),
        "xwing": None if public is None else public.hex(),
        "pq_hash": fields.pq_hash.hex(),
        "record": fields.record(seed).hex(),
    }


def _prekey_rules(case: Case) -> Case:
    known, code = log.verify(many_b(case, "log"))
    if code is not None or case["role"] not in ("creator", "recipient"):
        raise Wrong("log or role")

    def judge() -> None:
        found = prekey.usable(known, b(case, "record"), maybe_b(case, "xwing"), n(case, "created_ms"))
        if case["role"] == "creator":
            prekey.check_newest(found, n(case, "seen_id"))

    return {"code": judged(judge)}


def _requests(case: Case) -> Case:
    asker = Side(b(case, "log_id", 32), n(case, "seq"), b(case, "head", 32))
    named = b(case, "to", 32), text(case, "handle"), b(case, "nonce", 16), n(case, "time_ms")
    data = request.encode(asker, *named)
    return {"bytes": data.hex(), "request_id": request.request_id(data).hex()}


PREKEYS = Structure(
    (
        "device_seed",
        "log_id",
        "id",
        "day",
        "log_seq",
        "log_head",
        "suites",
        "x25519_secret",
        "xwing_seed",
    ),
    _prekeys,
)
PREKEY_RULES = Structure(("log", "record", "xwing", "created_ms", "seen_id", "role"), _prekey_rules)
REQUESTS = Structure(("log_id", "seq", "head", "to", "handle", "nonce", "time_ms"), _requests)
