"""Commands in processes that are forked from one that has imported their modules.

A command that opens the journal imports for a second and then works for a tenth of one, and the tests run hundreds.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from triggers.cli import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.cli.preloaded"])

READ_AT_START = ("PYTHON", "LC_", "LANG")
"""Variables that an interpreter reads when it starts, of which a forked process sees only PYTHONPATH."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a forked command sees all of this environment."""
    return not any(name.startswith(READ_AT_START) for name in environment if name != "PYTHONPATH")


def fork_command(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], *streams: "Connection[bytes, bytes]"
) -> ForkServerProcess:
    """Start a command that writes to these pipes (stdout, stderr); without the second one, stderr is discarded. This
    process closes its ends of them."""
    process = CONTEXT.Process(target=_perform, args=(arguments, cwd, environment, *streams), daemon=True)
    process.start()
    for stream in streams:
        stream.close()
    return process


def _perform(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], *streams: Any) -> None:
    """Run the command in the forked process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for descriptor, pipe in enumerate(streams, 1):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    # The inherited streams remember properties of the files that they were opened on.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["waypost", *arguments]
    main()
