"""Signing in (CRYPTO 3, "Login"): a device or a recovery key signs the server's nonce."""

from hw1 import keys
from hw1.hash import d, sign
from hw1.layout import v8


def signed_bytes(domain: str, nonce: bytes, log_id: bytes, key_id: bytes) -> bytes:
    return v8(domain.encode()) + nonce + log_id + key_id


def login(seed: bytes, domain: str, nonce: bytes, log_id: bytes) -> tuple[bytes, bytes, bytes]:
    """(key id, all that is signed, signature)."""
    key_id = keys.device_id(keys.public_of_seed(seed))
    data = signed_bytes(domain, nonce, log_id, key_id)
    return key_id, d("auth") + data, sign(seed, "auth", data)
