"""Kinds of what people compare and type (CRYPTO 8 and 9): numbers, QR codes, links, words."""

from formats.shape import Case, Structure, Wrong, b, judged, many_b, n, side, text
from hw1 import keys, log, verification
from hw1.log import Log


def _safety_numbers(case: Case) -> Case:
    hashed, number = verification.safety_number(side(case["a"]), side(case["b"]))
    if verification.safety_number(side(case["b"]), side(case["a"])) != (hashed, number):
        raise Wrong("differs from the other side")
    return {"hash": hashed.hex(), "number": number}


def _log(wires: list[bytes]) -> Log:
    known, code = log.verify(wires)
    if code is not None:
        raise Wrong("log")
    return known


def _qr(case: Case) -> Case:
    shower, scanner = _log(many_b(case, "shower")), _log(many_b(case, "scanner"))
    return {"accept": verification.qr_accepts(b(case, "payload"), shower, scanner)}


def _codes(case: Case) -> Case:
    asked = b(case, "log_id", 32), b(case, "new_seed", 32), n(case, "kind"), n(case, "suites")
    ik, claim, hashed, code = verification.code(*asked)
    return {"ik": ik.hex(), "claim": claim.hex(), "hash": hashed.hex(), "code": code}


def _links(case: Case) -> Case:
    return {"link": verification.link(text(case, "handle"), text(case, "domain"), b(case, "log_id", 32))}


def _recovery(case: Case) -> Case:
    entropy = b(case, "entropy", 32)
    words = verification.words_of(entropy)
    if verification.entropy_of(words) != entropy:
        raise Wrong("words do not give the entropy back")
    seed = verification.recovery_seed(entropy)
    rk = keys.public_of_seed(seed)
    return {"words": words, "seed": seed.hex(), "rk": rk.hex(), "recovery_id": keys.device_id(rk).hex()}


def _recovery_refused(case: Case) -> Case:
    code = judged(lambda: verification.entropy_of(text(case, "words")))
    if code is None:
        raise Wrong("is valid")
    return {"code": code}


SAFETY_NUMBERS = Structure(("a", "b"), _safety_numbers)
QR = Structure(("shower", "scanner", "payload"), _qr)
CODES = Structure(("log_id", "new_seed", "kind", "suites"), _codes)
LINKS = Structure(("handle", "domain", "log_id"), _links)
RECOVERY = Structure(("entropy",), _recovery)
RECOVERY_REFUSED = Structure(("words",), _recovery_refused)
