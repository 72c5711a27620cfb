"""The house as `README.md` draws it: which way the arrows between rooms may run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"durable", "connectors", "triggers"}
ALLOWED = {
    "durable": {"durable"},
    "connectors": {"connectors", "durable"},
    "triggers": {"triggers", "durable"},
}
COMPOSITION_ROOT = {"triggers/service.py", "triggers/offered.py"}
SHELL = {"clock", "journal", "metrics", "runner", "secrets", "turns"}
"""The rooms of the core that touch the machine; every other one is pure."""

IMPURE = {
    "asyncio",
    "httpx",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "sqlalchemy",
    "sqlite3",
    "sqlmodel",
    "time",
}


def _sources(room: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py") if "starter" not in path.parts)


def _imports(file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where an arrow ends"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in members if _is_module(name)}
            yield from modules or {node.module or ""}


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_arrows_run_only_as_drawn(room: str) -> None:
    for file in _sources(room):
        if file in COMPOSITION_ROOT:
            continue
        reached = {name.partition(".")[0] for name in _imports(file)} & ROOMS
        assert reached <= ALLOWED[room], f"{file} imports {sorted(reached - ALLOWED[room])}"


def test_the_pure_core_has_no_clock_no_chance_no_io_and_no_shell() -> None:
    pure = [file for file in _sources("durable") if Path(file).parts[1].removesuffix(".py") not in SHELL]
    assert len(pure) > 10
    for file in pure:
        names = set(_imports(file))
        assert not {name.partition(".")[0] for name in names} & IMPURE, file
        assert not {name for name in names if name.startswith("durable.") and name.split(".")[1] in SHELL}, file


def test_there_are_no_circles() -> None:
    files = {
        file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file
        for room in ROOMS
        for file in _sources(room)
    }
    arrows = {name: {target for target in _imports(file) if target in files} - {name} for name, file in files.items()}
    settled: set[str] = set()
    while free := {name for name, targets in arrows.items() if name not in settled and targets <= settled}:
        settled |= free
    assert settled == set(files), f"these import each other: {sorted(set(files) - settled)}"


def test_the_top_level_holds_only_what_was_agreed() -> None:
    agreed = {
        "pyproject.toml",
        "connectors",
        "triggers",
        "durable",
        "tests",
        "config",
        "README.md",
        "docs",
        "CHANGELOG.md",
    }
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= agreed | {"LICENSE", "dist"}
