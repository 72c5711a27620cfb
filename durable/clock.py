"""Time and new names: what the shell takes from the machine and the core is given."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def now() -> int:
    """Wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id(kind: str, at: int) -> str:
    """A new name like `run_01jd…`: 48 bits of time, 80 of chance, in an alphabet that sorts by time.

    The layout is that of ULID (https://github.com/ulid/spec), in lower case.
    """
    number = at << 80 | secrets.randbits(80)
    return f"{kind}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
