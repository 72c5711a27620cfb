"""Performs the tutorials block by block as a reader does: saves files, types commands, compares outputs."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"(?:`(?P<file>[^`\n]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
"""A fenced block; a file's stands behind the file's name and a colon."""


@dataclass(frozen=True)
class Block:
    """A block that a reader types (`sh`), sees (`text`), or saves under a name."""

    kind: str
    text: str
    file: str | None


def _blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer(page):
        yield Block(found["kind"], found["text"], found["file"])


def _script(blocks: list[Block]) -> str:
    """A script for one shell, as the reader has one; the output of each block of commands goes to its own file."""
    lines = ["set -eu"]
    for number, block in enumerate(blocks):
        if block.kind == "sh":
            lines.append(f"{{\n{block.text}\n}} > output.{number} 2>&1")
        elif block.kind != "text":
            lines.append(
                f"mkdir -p $(dirname {block.file})\ncat > {block.file} <<'END OF THE FILE'\n{block.text}END OF THE FILE"
            )
    return "\n".join(lines)


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def _environment(tmp_path: Path, port: str) -> dict[str, str]:
    """The reader's environment, with `waypost` from this checkout."""
    command = tmp_path / "bin" / "waypost"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "from triggers.cli import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
    return kept | {"PATH": path, "WAYPOST_PORT": port, "NO_PROXY": "*"}


def _run(script: str, folder: Path, environment: dict[str, str]) -> int:
    """Run the script, and return its exit code; no process that it started survives."""
    process = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, start_new_session=True)
    try:
        return process.wait(120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _missing(output: str, expected: str) -> str | None:
    """The first expected line that does not follow the previous ones in the output.

    `…` matches anything, and spaces match as many as align the columns.
    """
    end = 0
    for line in expected.splitlines():
        words = ("[ ]+".join(map(re.escape, re.split(" +", part))) for part in line.split("…"))
        found = re.compile(".*".join(words)).search(output, end)
        if found is None:
            return line
        end = found.end()
    return None


PAGES = ["tutorial.md", pytest.param("connectors.md", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="the reader needs curl and openssl")
def test_every_block_of_a_tutorial_does_what_it_says(name: str, tmp_path: Path) -> None:
    service, crm = _free_port(), _free_port()
    page = (ROOT / "docs" / name).read_text("utf-8").replace("8400", service).replace("8500", crm)
    blocks = list(_blocks(page))
    folder = tmp_path / "empty"
    folder.mkdir()

    code = _run(_script(blocks), folder, _environment(tmp_path, service))

    printed = {number: folder / f"output.{number}" for number, block in enumerate(blocks) if block.kind == "sh"}
    outputs = {number: file.read_text("utf-8") for number, file in printed.items() if file.exists()}
    assert code == 0, (outputs, [file.read_text("utf-8") for file in folder.glob("*.log")])
    for number, block in enumerate(blocks):
        if block.kind == "text":
            assert _missing(outputs[number - 1], block.text) is None, outputs[number - 1]


@pytest.mark.parametrize("name", ["tutorial.md", "connectors.md"])
def test_every_block_of_a_tutorial_has_a_known_kind(name: str) -> None:
    blocks = list(_blocks((ROOT / "docs" / name).read_text("utf-8")))

    assert {block.kind for block in blocks} <= {"sh", "text", "python", "yaml", "toml"}
    assert all(block.file for block in blocks if block.kind in {"python", "yaml", "toml"})
    assert all(before.kind == "sh" for before, block in pairwise(blocks) if block.kind == "text")
