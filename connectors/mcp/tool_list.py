"""The tools of a server, as it listed them, kept in a file of the data folder: a server that is down disables nothing.

A list is valid for the server that gave it; when the connector's file names another one, it is ignored.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

SIZE_LIMIT = 8 * 1024 * 1024
"""The maximum size, in bytes, of a stored list."""


class ListedTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool, as its server describes it. The hints are None where the server says nothing."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None
    is_read_only: bool | None = None
    is_idempotent: bool | None = None


class ToolList(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tools of the server that `source` identifies; None if it never listed them. `problem` is why it could not be
    asked the last time."""

    source: str
    tools: Sequence[ListedTool] | None = None
    problem: str | None = None


class ToolListRefused(Exception):
    """A list that cannot be stored; the message says why."""


def read_tool_list(path: Path, source: str) -> ToolList:
    """Return the stored list of a server; one without tools if none is stored."""
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(SIZE_LIMIT + 1), type=ToolList)
    except (OSError, msgspec.DecodeError):
        return ToolList(source)
    return found if found.source == source else ToolList(source)


def store_tool_list(path: Path, found: ToolList) -> bool:
    """Store a list unless it is stored already; returns whether it was not. Raises `ToolListRefused`."""
    try:
        data = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    except RecursionError:
        raise ToolListRefused("the schemas of the server's tools are nested too deeply") from None
    if len(data) > SIZE_LIMIT:
        raise ToolListRefused(f"the server's list of tools is larger than {SIZE_LIMIT // 1024**2} MiB")
    with suppress(OSError):
        if path.read_bytes() == data:
            return False
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise ToolListRefused(f"the server's tools cannot be stored in {path.parent}: {error.strerror}") from None
    return True


def store_problem(path: Path, source: str, problem: str) -> None:
    """Store why a server could not be asked, beside the tools that it had before."""
    with suppress(ToolListRefused):
        store_tool_list(path, ToolList(source, read_tool_list(path, source).tools, problem))
