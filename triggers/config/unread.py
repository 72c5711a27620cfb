"""Files of a config folder that look like pipelines, connections or settings and are not read, each with the reason.

A file whose name begins with a dot is a lock, a partial copy or metadata of an editor or file system (`.#one.yaml`,
`._one.yaml`, `.one.yaml.swp`), and is never read.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from durable.language.connections import FILE as CONNECTIONS_FILE
from durable.problem import Problem
from durable.wording import PROBLEMS_LIMIT
from triggers.instance import SETTINGS_FILE

PIPELINES = "pipelines"
CONNECTORS = "connectors"
SUFFIXES = (".yaml", ".yml")

HEAD = 65_536
"""The bytes of a file outside of the folder of pipelines that are searched for steps."""

_NAMED_YAML = re.compile(r"\.ya?ml(?![a-z0-9])", re.IGNORECASE)
_STEPS = re.compile(rb"^steps:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class UnreadFiles:
    """The files that are not read, in the form of a checked file that has only warnings."""

    problems: Sequence[Problem] = ()

    @property
    def is_valid(self) -> bool:
        return True

    @property
    def lasting(self) -> list[Problem]:
        """The problems without those of locks and copies, which come and go while a file is edited."""
        return [problem for problem in self.problems if not _is_leftover(Path(problem.file))]

    def line(self, number: int) -> str:
        """Nothing, since the files were not read."""
        return ""


def is_pipeline_file(path: Path) -> bool:
    """Whether a file of the folder of pipelines is read, by its name."""
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def is_connector_file(path: Path) -> bool:
    """Whether a file of a folder of connectors is read, by its name."""
    return path.suffix in (*SUFFIXES, ".py") and not path.name.startswith((".", "_"))


def find_unread(config: Path) -> UnreadFiles:
    """Find the files that are probably meant to be read and are not."""
    found = [*_in_pipelines(config / PIPELINES), *_in_config(config)]
    problems = [Problem(str(path), 1, 1, what, cure, "warning") for path, what, cure in found[:PROBLEMS_LIMIT]]
    if more := len(found) - len(problems):
        problems.append(Problem(str(config), 1, 1, f"{more} more files are not read", None, "warning"))
    return UnreadFiles(tuple(problems))


def _is_leftover(path: Path) -> bool:
    is_copy = path.suffix.lower() not in SUFFIXES and _NAMED_YAML.search(path.name) is not None
    return path.name.startswith(".") or is_copy


def _in_pipelines(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for path in _list_entries(folder):
        if is_pipeline_file(path) or path.name.startswith(".."):  # `..data` is how Kubernetes mounts a ConfigMap
            continue
        if _is_folder(path):
            if inner := sorted(each.name for each in _list_entries(path) if is_pipeline_file(each)):
                what = f"the folder is not read, but it contains {', '.join(inner[:3])}{' …' if inner[3:] else ''}"
                yield path, what, f"move its files into {folder}"
        elif path.name.startswith("."):
            if _NAMED_YAML.search(path.name):
                yield path, "the file is not read: its name begins with a dot", "rename it, or remove it"
        elif reason := _explain_unread(path):
            yield path, *reason


def _explain_unread(path: Path) -> tuple[str, str] | None:
    """Why a file is not read that may be meant as a pipeline, and what to do."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return f"the file is not read: its name ends in {path.suffix}", f"rename it to {path.stem}{suffix}"
    if suffix == ".json":
        return "the file is not read: pipelines end in .yaml", f"rename it to {path.stem}.yaml if it is one"
    if _NAMED_YAML.search(path.name):
        return "the file is not read: its name does not end in .yaml", "remove it if it is a copy; or rename it"
    return None


def _in_config(config: Path) -> Iterator[tuple[Path, str, str]]:
    for path in _list_entries(config):
        if path.name in {CONNECTIONS_FILE, SETTINGS_FILE} or path.name.startswith(".") or _is_folder(path):
            continue
        kind = re.match(r"(connection|setting)s?\.(ya?ml|toml|json)$", path.name, re.IGNORECASE)
        if kind:
            right = CONNECTIONS_FILE if kind[1].lower() == "connection" else SETTINGS_FILE
            yield path, f"the file is not read: {kind[1].lower()}s belong in {right}", f"move its contents to {right}"
        elif path.suffix.lower() in SUFFIXES and _has_steps(path):
            yield path, f"the file is not read: pipelines belong in {config / PIPELINES}", "move it there"


def _list_entries(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _has_steps(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return _STEPS.search(file.read(HEAD)) is not None
    except OSError:
        return False
