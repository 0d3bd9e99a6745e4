"""Kinds `signatures`, `identity-keys`, `exchanges`: libsodium's verdict on keys and signatures at the edges."""

from formats.shape import Case, Structure, b
from hw1 import keys
from hw1.hash import raw_verifies


def _signatures(case: Case) -> Case:
    signed = b(case, "public", 32), b(case, "message"), b(case, "signature", 64)
    return {"valid": raw_verifies(*signed)}


def _identity_keys(case: Case) -> Case:
    key = b(case, "key", 32)
    return {"x25519": keys.x_public(key).hex() if keys.is_identity_key(key) else None}


def _exchanges(case: Case) -> Case:
    public, secret = b(case, "public", 32), b(case, "secret", 32)
    return {"shared": keys.exchange(public, secret).hex() if keys.is_exchange_key(public) else None}


SIGNATURES = Structure(("public", "message", "signature"), _signatures)
IDENTITY_KEYS = Structure(("key",), _identity_keys)
EXCHANGES = Structure(("public", "secret"), _exchanges)
