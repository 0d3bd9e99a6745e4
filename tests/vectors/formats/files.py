"""Kinds `files`, `files-refused`, `padme`, `reports`, `reports-refused` (CRYPTO 6 and 7)."""

from formats.shape import Case, Structure, Wrong, b, exactly, judged, maybe_b, n
from hw1 import file, message, report, suite
from hw1.hash import kdf
from hw1.report import Evidence, Route

SHOWN = 4096


def pattern(size: int) -> bytes:
    """Byte i is i mod 251."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def _files(case: Case) -> Case:
    size, given = n(case, "size"), maybe_b(case, "plain")
    plain = pattern(size) if given is None else given
    if len(plain) != size:
        raise Wrong("size")
    names = b(case, "key", 32), b(case, "hdr", 24), b(case, "content_id", 16)
    ct = file.seal(*names, plain)
    hashed = file.ct_hash(names[1], ct)
    if file.open_(*names, size, (len(ct), hashed), ct) != plain:
        raise Wrong("does not open")
    return {
        "padded_size": file.padme(size),
        "ct_size": len(ct),
        "ct_hash": hashed.hex(),
        "ct": ct.hex() if len(ct) <= SHOWN else None,
    }


def check_files_refused(case: Case) -> None:
    """Passes if the file is refused."""
    exactly(case, ("name", "content_id", "key", "hdr", "size", "ct_size", "ct_hash", "ct"))
    names = b(case, "key", 32), b(case, "hdr", 24), b(case, "content_id", 16)
    named = n(case, "ct_size"), b(case, "ct_hash", 32)
    if judged(lambda: file.open_(*names, n(case, "size"), named, b(case, "ct"))) is None:
        raise Wrong("is valid")


def _route(case: Case) -> Route:
    return Route(
        b(case, "from_user", 32), b(case, "from_device", 16), b(case, "to_user", 32), n(case, "time_ms")
    )


def _reports(case: Case) -> Case:
    chosen, mk, header = n(case, "suite"), b(case, "mk", 32), b(case, "header", 56)
    message.parse_header(header)
    padded, k_srv = b(case, "padded"), b(case, "k_srv", 32)
    commit = message.commitment(mk, header)
    ct = suite.seal(chosen, kdf(mk, "enc"), padded)
    env = message.envelope(header, commit, ct)
    stamp = report.stamp(k_srv, env, _route(case))
    report.check(chosen, Evidence(header, commit, mk, padded, stamp), _route(case), k_srv)
    return {"commit": commit.hex(), "ct": ct.hex(), "env": env.hex(), "stamp": stamp.hex()}


ROUTE = ("from_user", "from_device", "to_user", "time_ms")


def check_reports_refused(case: Case) -> None:
    """Passes if the server refuses the report."""
    exactly(case, ("name", "suite", "mk", "header", "commit", "padded", "stamp", "k_srv", *ROUTE))
    evidence = Evidence(
        b(case, "header", 56),
        b(case, "commit", 32),
        b(case, "mk", 32),
        b(case, "padded"),
        b(case, "stamp", 32),
    )
    if judged(lambda: report.check(n(case, "suite"), evidence, _route(case), b(case, "k_srv", 32))) is None:
        raise Wrong("is valid")


FILES = Structure(("content_id", "key", "hdr", "size", "plain"), _files)
PADME = Structure(("size",), lambda case: {"padded": file.padme(n(case, "size"))})
REPORTS = Structure(("suite", "mk", "header", "padded", "k_srv", *ROUTE), _reports)
