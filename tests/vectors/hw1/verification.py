"""What people compare (CRYPTO 8 and 9): safety numbers, QR payloads, codes, links, recovery words."""

import base64

from mnemonic import Mnemonic

from hw1 import keys
from hw1.hash import h, kdf, sign
from hw1.layout import Reader
from hw1.log import Log, Side, claim_input
from hw1.refused import MALFORMED, Refused, require


def digits(data: bytes) -> str:
    """Groups of 5 bytes mod 100000, joined by spaces."""
    groups = [data[at : at + 5] for at in range(0, len(data), 5)]
    return " ".join(f"{int.from_bytes(group, 'big') % 100_000:05}" for group in groups)


def safety_number(a: Side, b: Side) -> tuple[bytes, str]:
    """(hash of 64 bytes, 12 groups of 5 digits): the same from both sides."""
    first, second = sorted((a.encode(), b.encode()))
    hashed = h("sn", first + second, 64)
    return hashed, digits(hashed[:60])


def qr(shower: Side, other: Side) -> bytes:
    return shower.encode() + other.encode()


def qr_accepts(payload: bytes, shower: Log, scanner: Log) -> bool:
    """Each side of the payload lies on the log that the scanner has verified."""
    if len(payload) != 136:
        return False
    reader = Reader(payload)
    shown, other = (Side(reader.b(32), reader.u32(), reader.b(32)) for _ in range(2))
    return shower.has(shown) and scanner.has(other)


def code(log_id: bytes, new_seed: bytes, kind: int, suites: int) -> tuple[bytes, bytes, bytes, str]:
    """(ik, claim signature, hash, 30 digits) of a device that asks to be added."""
    ik = keys.public_of_seed(new_seed)
    data = claim_input(log_id, ik, kind, suites)
    hashed = h("code", data, 64)
    return ik, sign(new_seed, "claim", data), hashed, digits(hashed[:30])


def link(handle: str, domain: str, log_id: bytes) -> str:
    return f"{handle}@{domain}#{base64.b32encode(log_id).decode().rstrip('=').lower()}"


def words_of(entropy: bytes) -> str:
    words: str = Mnemonic("english").to_mnemonic(entropy)
    return words


def entropy_of(words: str) -> bytes:
    """The 32 bytes of 24 words. Refuses another number, unknown words, a wrong checksum."""
    require(len(words.split(" ")) == 24, MALFORMED, "24 words")
    try:
        return bytes(Mnemonic("english").to_entropy(words))
    except (ValueError, LookupError) as wrong:
        raise Refused(MALFORMED, str(wrong)) from wrong


def recovery_seed(entropy: bytes) -> bytes:
    """The Ed25519 seed of a recovery key."""
    return kdf(entropy, "recovery")
