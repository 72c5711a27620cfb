"""Ids of rows: text that sorts by creation time.

An id such as `run_01jd…` contains 48 bits of time (ms) and 80 other bits, in an alphabet that preserves the order; its
length is that of a ULID (https://github.com/ulid/spec), in lower case.
"""

import hashlib
import re

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]

_WHOLE = re.compile(r"[a-z]+_[0-9a-z]{26}|[0-9a-f]{64}")

LAST_TIME = 2**48 - 1
"""The latest time, in ms, that fits into an id."""


def make_id(kind: str, at: int, low: int) -> str:
    """Return the id with this time (ms), whose other 80 bits are `low`."""
    number = at << 80 | low
    text = f"{kind}_"
    for shift in range(120, -1, -10):
        text += _PAIRS[number >> shift & 1023]
    return text


def derive_id(kind: str, at: int, *seed: str) -> str:
    """Return an id that depends only on the arguments."""
    digest = hashlib.blake2b("\0".join(seed).encode(), digest_size=10).digest()
    return make_id(kind, at, int.from_bytes(digest))


def parse_time(id: str) -> int | None:
    """Return the time (ms) in an id; None if it is not an id."""
    try:
        number = 0
        for character in id.rpartition("_")[2][:10]:
            number = number << 5 | _ALPHABET.index(character)
    except ValueError:
        return None
    return number


def first_id(kind: str, at: int) -> str:
    """Return text that sorts before every id of the kind made at this time (ms) or later, and after every earlier
    one."""
    at = min(max(at, 0), LAST_TIME)
    return f"{kind}_" + "".join([_PAIRS[at >> shift & 1023] for shift in range(40, -1, -10)])


def next_id(id: str) -> str:
    """Return the text of the same length that sorts directly after an id: the cursor of a page that begins with it."""
    kept = id.rstrip("z")
    following = "a" if kept[-1] == "9" else chr(ord(kept[-1]) + 1)
    return kept[:-1] + following + "0" * (len(id) - len(kept))


def is_whole_id(text: str) -> bool:
    """Whether a text has the form of an id, or of a pipeline's version, and is not a part of one."""
    return _WHOLE.fullmatch(text) is not None
