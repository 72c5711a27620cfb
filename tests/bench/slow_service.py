"""The real service on a slow disk: every commit of its journal takes SLOW_COMMIT_MS longer.

    SLOW_COMMIT_MS=8 python -m tests.bench.slow_service serve …

The pause is in the commit of Python's own `sqlite3`, outside Waypost's code; it lets other threads
work, as a flush does.
"""

import os
import sqlite3
import time
from functools import partial

from triggers.cli import main

PAUSE = float(os.environ["SLOW_COMMIT_MS"]) / 1000


class Connection(sqlite3.Connection):
    def commit(self) -> None:
        time.sleep(PAUSE)
        super().commit()


if __name__ == "__main__":
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))  # noqa: B010  # its type is overloads
    main()
