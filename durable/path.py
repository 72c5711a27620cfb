"""Paths: the addresses of the steps of a run.

A path is the ids of the enclosing blocks and of the step, joined by dots. An item of a `foreach` and a turn of a
`repeat` add their index, from 0: `reserve[2].hold`. The undo of a step has the step's path and `undo` (in a second pass
`undo[2]`); the repetition of a step to learn its output has `again`. A page of a step's output has `page` and the
page's number, from 0: `fetch.page[2]`.
"""

import re
from functools import lru_cache

UNDO = "undo"
AGAIN = "again"
PAGE = "page"

_NUMBER = re.compile(r"\[\d+\]")
_PAGE_NUMBER = re.compile(rf"\.{PAGE}\[\d+\]$")


def join_path(frame: str, id: str) -> str:
    """Return the path of a step in a frame. A frame is a block's path, possibly with an index; that of the run is
    empty."""
    return f"{frame}.{id}" if frame else id


def frame_of(path: str) -> str:
    """Return the frame that contains a step."""
    return path.rpartition(".")[0]


def number_frame(block: str, index: int | None) -> str:
    """Return the frame of a block's item or turn; without an index, that of its branches."""
    return block if index is None else f"{block}[{index}]"


def split_frame(frame: str) -> tuple[str, int | None]:
    """Return the path of a frame's block, and the index of its item or turn."""
    if not frame.endswith("]"):
        return frame, None
    block, _, number = frame[:-1].rpartition("[")
    return block, int(number)


def is_within(path: str, block: str) -> bool:
    """Whether a path is inside a block. The path of the run itself is empty; every path is inside it."""
    return not block or (path.startswith(block) and path[len(block) : len(block) + 1] in {".", "["})


def strip_numbers(path: str) -> str:
    """Return the path without indexes, which is the path in the definition."""
    return _NUMBER.sub("", path) if "[" in path else path


def make_undo_path(path: str, turn: int) -> str:
    """Return the path of a step's undo, in the first or a later pass."""
    return f"{path}.{UNDO}" if turn == 1 else f"{path}.{UNDO}[{turn}]"


def make_again_path(path: str, turn: int) -> str:
    """Return the path of a step's repetition, under its own idempotency key, to learn its output."""
    return f"{path}.{AGAIN}" if turn == 1 else f"{path}.{AGAIN}[{turn}]"


def make_page_path(path: str, number: int) -> str:
    """Return the path of a page of a step's output."""
    return f"{path}.{PAGE}[{number}]"


def find_step_path(path: str) -> str:
    """Return the path of the step to which a page belongs; any other path as it is."""
    return _PAGE_NUMBER.sub("", path) if path.endswith("]") else path


def is_repetition(path: str) -> bool:
    """Whether the path is that of a step's repetition."""
    return AGAIN in path and strip_numbers(path).endswith(f".{AGAIN}")


def make_key(run: str, path: str, cleanup_pass: int = 1) -> str:
    """Return the idempotency key of a step, the same in every attempt; a repetition has the key of its step."""
    place = frame_of(path) if AGAIN in path and is_repetition(path) else path
    return f"{run}:{place}" if cleanup_pass == 1 else f"{run}:{number_pass(place, cleanup_pass)}"


def number_pass(path: str, cleanup_pass: int) -> str:
    """Return what names a step's operation in a pass of the cleanup; a further pass adds its number."""
    return path if cleanup_pass == 1 else f"{path}[{cleanup_pass}]"


@lru_cache(maxsize=4096)
def split_components(frame: str) -> dict[str, str]:
    """Return a frame's components by id: for `a[1].b`, `{"a": "a[1]", "b": "b"}`."""
    return {part.partition("[")[0]: part for part in frame.split(".")} if frame else {}
