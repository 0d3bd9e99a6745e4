"""Kinds `headers`, `headers-refused`, `xwing`: parts of an epoch (CRYPTO 5)."""

from formats.shape import Case, Structure, Wrong, b, exactly, judged, n, side
from hw1 import epoch, xwing
from hw1.epoch import Header, Place

FIELDS = ("suite", "n", "prev", "created_ms", "creator", "reason", "a", "b", "kc", "roster")


def header_of(case: Case) -> Header:
    """The header that the fields of a case make."""
    places = []
    for place in case["roster"]:
        exactly(place, ("side", "device_id", "prekey_id"))
        places.append(Place(n(place, "side"), b(place, "device_id", 16), n(place, "prekey_id")))
    return Header(
        n(case, "suite"),
        n(case, "n"),
        b(case, "prev", 32),
        n(case, "created_ms"),
        n(case, "creator"),
        n(case, "reason"),
        side(case["a"]),
        side(case["b"]),
        b(case, "kc", 32),
        tuple(places),
    )


def _headers(case: Case) -> Case:
    header = header_of(case)
    data = header.encode()
    if len(data) != 217 + 21 * len(header.roster) or epoch.parse(data) != header:
        raise Wrong("does not parse to itself")
    return {"header": data.hex(), "epoch_id": epoch.epoch_id(data).hex()}


def _headers_refused(case: Case) -> Case:
    code = judged(lambda: epoch.parse(b(case, "header")))
    if code is None:
        raise Wrong("is valid")
    return {"code": code}


def _xwing(case: Case) -> Case:
    seed = b(case, "seed", 32)
    pk = xwing.public_of_seed(seed)
    ct, ss = xwing.encapsulate(pk, b(case, "eseed", 64))
    if xwing.decapsulate(seed, ct) != ss:
        raise Wrong("does not open")
    return {"pk": pk.hex(), "ct": ct.hex(), "ss": ss.hex()}


HEADERS = Structure(FIELDS, _headers)
HEADERS_REFUSED = Structure(("header",), _headers_refused)
XWING = Structure(("seed", "eseed"), _xwing)
