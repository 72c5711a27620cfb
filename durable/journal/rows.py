"""What the reads of several tables share."""

import msgspec

DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)
"""What decoding raises for a column that does not hold what was written."""

PAGE = 256
"""Rows that are read and decoded in one piece: for the appends of a history it takes about a millisecond."""
