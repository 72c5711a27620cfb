"""The house as `docs/architecture.md` draws it: which way imports may run between rooms, and how things are named."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("connectors", "durable", "triggers")
ALLOWED = {
    "durable": {"durable"},
    "connectors": {"connectors", "durable"},
    "triggers": {"triggers", "durable"},
}
COMPOSITION_ROOT = "triggers/service.py"
AUTHOR_TESTING = "durable/author/testing.py"
"""`waypost.testing`: re-exports for the tests of connectors, which nothing else imports."""

LAZY = "durable/lazy.py"
"""The only module that imports by name: a command, an entry point, an extra, Alembic's migrations."""

SHELL = {
    "auth_schemes",
    "clock",
    "connection_auth",
    "encrypted_store",
    "grants",
    "journal",
    "lazy",
    "metrics",
    "runner",
    "secrets",
    "turns",
}
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

PORTS = {"durable/action.py", "durable/engine.py"}
"""Their protocols are where the edges and another engine attach, so a call to one is no arrow."""

LONGEST_MODULE = 500
LONGEST_FUNCTION = 50

VERBS_IN_ED = {
    "bleed",
    "breed",
    "embed",
    "exceed",
    "feed",
    "heed",
    "need",
    "proceed",
    "seed",
    "shed",
    "speed",
    "succeed",
}
IRREGULAR_PARTICIPLES = {
    *("begun", "bound", "broken", "brought", "built", "caught", "chosen", "done", "drawn", "driven", "fallen", "found"),
    *("given", "gone", "grown", "heard", "held", "kept", "known", "left", "lost", "made", "meant", "met", "paid"),
    *("said", "seen", "sent", "shown", "spent", "stood", "taken", "taught", "thought", "told", "understood", "written"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _sources(package: str) -> list[str]:
    found = (path for path in (ROOT / package).rglob("*.py") if "starter" not in path.parts)
    return sorted(str(path.relative_to(ROOT)) for path in found)


FILES = [file for package in PACKAGES for file in _sources(package)]


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


@cache
def _nodes(file: str) -> list[ast.AST]:
    return list(ast.walk(_tree(file)))


def _functions(file: str) -> Iterator[Function]:
    return (node for node in _nodes(file) if isinstance(node, Function))


def _imports(file: str) -> Iterator[str]:
    for node in _nodes(file):
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


def _room(file: str) -> str:
    """A folder directly under a package, or a module that stands there."""
    return "/".join(Path(file).with_suffix("").parts[:2])


def _module_files() -> dict[str, str]:
    return {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in FILES}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_between_packages_run_only_as_drawn(package: str) -> None:
    for file in _sources(package):
        if file in {COMPOSITION_ROOT, AUTHOR_TESTING}:
            continue
        reached = {name.partition(".")[0] for name in _imports(file)} & set(PACKAGES)
        assert reached <= ALLOWED[package], f"{file} imports {sorted(reached - ALLOWED[package])}"


def test_the_pure_core_has_no_clock_no_chance_no_io_and_no_shell() -> None:
    pure = [file for file in _sources("durable") if Path(file).parts[1].removesuffix(".py") not in SHELL]
    assert len(pure) > 10
    for file in pure:
        names = set(_imports(file))
        assert not {name.partition(".")[0] for name in names} & IMPURE, file
        assert not {name for name in names if name.startswith("durable.") and name.split(".")[1] in SHELL}, file


def test_no_two_modules_import_each_other() -> None:
    files = _module_files()
    assert not _circle({name: {target for target in _imports(file) if target in files} for name, file in files.items()})


def test_no_two_rooms_depend_on_each_other() -> None:
    files = _module_files()
    arrows: dict[str, set[str]] = defaultdict(set)
    reached = {
        file: {files[name] for name in _imports(file) if name in files} | set(_implementations_called(file))
        for file in FILES
    }
    for file, targets in reached.items():
        arrows[_room(file)] |= {_room(target) for target in targets}
    circle = _circle(arrows)
    assert not [
        f"{file} -> {target}"
        for file, targets in reached.items()
        for target in sorted(targets)
        if _room(file) != _room(target) and {_room(file), _room(target)} <= set(circle)
    ]


def _circle(arrows: dict[str, set[str]]) -> list[str]:
    """The nodes that lie on a circle, or between two."""
    left = {name: targets - {name} for name, targets in arrows.items()}
    for _ in range(2):  # first what reaches no circle, then, with the arrows turned round, what none reaches
        while free := {name for name, targets in left.items() if not targets & left.keys()}:
            left = {name: targets for name, targets in left.items() if name not in free}
        turned: dict[str, set[str]] = {name: set() for name in left}
        for name, targets in left.items():
            for target in targets & left.keys():
                turned[target].add(name)
        left = turned
    return sorted(left)


ClassPlace = tuple[str, str]
"""A class by its module and its name."""


@cache
def _classes() -> dict[ClassPlace, tuple[str, ast.ClassDef]]:
    return {
        (module, node.name): (file, node)
        for module, file in _module_files().items()
        for node in _tree(file).body
        if isinstance(node, ast.ClassDef)
    }


@cache
def _names_in(file: str) -> dict[str, ClassPlace]:
    """The classes of this tree that a file names, by the name that it gives them; `module.Class` with its dot."""
    module = next(name for name, place in _module_files().items() if place == file)
    named = {name: (module, name) for name in _names_of(module)}
    for node in _nodes(file):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                here = alias.asname or alias.name
                if alias.name in _names_of(node.module):
                    named[here] = (node.module, alias.name)
                inside = f"{node.module}.{alias.name}"
                named |= {f"{here}.{name}": (inside, name) for name in _names_of(inside)}
    return named


@cache
def _names_of(module: str) -> set[str]:
    return {name for place, name in _classes() if place == module}


def _ancestors(place: ClassPlace) -> Iterator[ClassPlace]:
    file, node = _classes()[place]
    for base in node.bases:
        found = _names_in(file).get(ast.unparse(base).partition("[")[0])
        if found is not None and found != place:
            yield found
            yield from _ancestors(found)


def _is_abstract(owner: ast.ClassDef, method: Function) -> bool:
    decorated = any(ast.unparse(decorator).endswith("abstractmethod") for decorator in method.decorator_list)
    is_protocol = any(ast.unparse(base).partition("[")[0].endswith("Protocol") for base in owner.bases)
    return decorated or is_protocol


@cache
def _implementations() -> dict[ClassPlace, dict[str, set[str]]]:
    """For each class with abstract methods: method -> the files of the classes that implement it by inheritance."""
    abstract = {
        place: {m.name: set[str]() for m in node.body if isinstance(m, Function) and _is_abstract(node, m)}
        for place, (file, node) in _classes().items()
        if file not in PORTS
    }
    for place, (file, node) in _classes().items():
        methods = {m.name for m in node.body if isinstance(m, Function)}
        for ancestor in _ancestors(place):
            for name in methods & abstract.get(ancestor, {}).keys():
                abstract[ancestor][name].add(file)
    return abstract


def _implementations_called(file: str) -> Iterator[str]:
    """The files whose classes may answer a call to an abstract method in this file."""
    called = {
        node.func.attr for node in _nodes(file) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    for place in set(_names_in(file).values()):
        for name in called & _implementations().get(place, {}).keys():
            yield from _implementations()[place][name]


def test_the_page_lists_every_room_after_those_that_it_imports() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    files = _module_files()
    for package in PACKAGES:
        section = page.partition(f"`{package}/`\n")[2].partition("\n## ")[0]
        rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        places = {f"{package}/{name}": at for at, row in enumerate(rows) for name in re.findall(r"`(\w+)`", row)}
        assert places.keys() == {_room(file) for file in _sources(package)} - {f"{package}/__init__"}
        for file in _sources(package):
            for room in {_room(files[name]) for name in _imports(file) if name in files} & places.keys():
                assert places[room] <= places.get(_room(file), len(rows)), f"{file} imports {room}"


def test_a_class_name_exists_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in _nodes(file):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_no_function_is_named_by_a_participle() -> None:
    assert not [f"{file}: {node.name}" for file in FILES for node in _functions(file) if _is_participle(node)]


def _is_participle(function: Function) -> bool:
    word = function.name.strip("_")
    is_value = any("property" in ast.unparse(decorator) for decorator in function.decorator_list)
    is_regular = word.endswith("ed") and word not in VERBS_IN_ED and "_" not in word
    return not is_value and (is_regular or word in IRREGULAR_PARTICIPLES)


def test_imports_stand_at_the_top_of_their_module() -> None:
    found = []
    for file in FILES:
        inner = [n for f in _functions(file) for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
        by_name = [n for n in _imports(file) if n.partition(".")[0] == "importlib" and n != "importlib.resources"]
        if (inner or by_name) and file != LAZY:
            found.append(f"{file}: {[ast.unparse(node) for node in inner] or by_name}")
    assert not found


def test_no_module_and_no_function_is_long() -> None:
    modules = {file: len((ROOT / file).read_text().splitlines()) for file in FILES}
    functions = {
        f"{file}: {node.name}": (node.end_lineno or 0) - node.lineno + 1 for file in FILES for node in _functions(file)
    }
    assert not {name: lines for name, lines in modules.items() if lines > LONGEST_MODULE}
    assert not {name: lines for name, lines in functions.items() if lines > LONGEST_FUNCTION}


def test_every_module_says_what_it_is() -> None:
    assert not [file for file in FILES if _tree(file).body and not ast.get_docstring(_tree(file))]


def test_no_test_imports_a_private_name() -> None:
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
                found += [f"{path.relative_to(ROOT)}: {alias.name}" for alias in node.names if alias.name[0] == "_"]
    assert not found


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
