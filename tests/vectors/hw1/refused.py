"""How a rule says no: one exception with one code of CRYPTO 11."""

MALFORMED = "MALFORMED"


class Refused(Exception):
    """A rule was broken. `code` is one of CRYPTO 11, or `MALFORMED` for what does not parse."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


def require(holds: bool, code: str, why: str) -> None:
    """Refuses with `code` unless `holds`."""
    if not holds:
        raise Refused(code, why)
