"""Reports (CRYPTO 6): the server's stamp, and its check of what a recipient reveals.

The server never opens anything: it encrypts again and compares.
"""

from dataclasses import dataclass

from hw1 import message, suite
from hw1.hash import kdf
from hw1.layout import u64
from hw1.refused import Refused, require


@dataclass(frozen=True)
class Route:
    """From whom to whom, and when, as the server saw it."""

    from_user: bytes
    from_device: bytes
    to_user: bytes
    time_ms: int


@dataclass(frozen=True)
class Evidence:
    """What a report holds."""

    header: bytes
    commit: bytes
    mk: bytes
    padded: bytes
    stamp: bytes


def stamp(k_srv: bytes, env: bytes, route: Route) -> bytes:
    return kdf(k_srv, "frank", env + route.from_user + route.from_device + route.to_user + u64(route.time_ms))


def check(chosen: int, evidence: Evidence, route: Route, k_srv: bytes) -> tuple[bytes, bytes]:
    """(ct, env) of true evidence; refuses with MALFORMED, BAD_COMMIT or BAD_TAG (the stamp)."""
    message.parse_header(evidence.header)
    expected = message.commitment(evidence.mk, evidence.header)
    require(expected == evidence.commit, "BAD_COMMIT", "commitment")
    if not message.is_padded_len(len(evidence.padded)):
        raise Refused("BAD_CONTENT", "padded size")
    ct = suite.seal(chosen, kdf(evidence.mk, "enc"), evidence.padded)
    env = message.envelope(evidence.header, evidence.commit, ct)
    require(stamp(k_srv, env, route) == evidence.stamp, "BAD_TAG", "the stamp is of another message")
    return ct, env
