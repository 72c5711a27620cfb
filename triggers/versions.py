"""The versions of a pipeline: a list of them, the text of one, and how two differ."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

import msgspec
import yaml

from durable.definition import Definition
from durable.durations import format_duration
from durable.journal.definitions import find_versions, list_versions
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.reports import PipelineVersion
from durable.steps.resolved import ResolvedStep
from durable.values import JSON
from durable.wording import quote
from triggers.documents.fields import format_time
from triggers.documents.versions import VersionDocument, VersionsDocument, VersionTextDocument
from triggers.not_found import PipelineNotFound, VersionNotFound

CURRENT = "current"
"""Names the version that is served now."""

SHORT = 12
"""The characters of a hash that people read."""

COMPARED = 2_000
"""The lines of a step in two versions that are compared one by one."""

FASTEST_DUMPER: type = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_CANDIDATES = 5
_BEGINNING = re.compile("[0-9a-f]{4,64}")
_STEPS = ("steps", "on_failure")
_VERBATIM = frozenset({"input", "inputs", "outputs", "keep", "timeout_value"})
"""The parts of a definition whose keys the author chose."""

_RENAMED = {"condition": "if", "input": "with"}
_DURATIONS = frozenset({"timeout", "min_delay", "max_delay", "for", "pause"})


def list_served(definitions: Iterable[Definition]) -> dict[str, str]:
    """The current version of each pipeline by its id."""
    return {each.id: each.version for each in definitions}


class VersionReads:
    """Reads the versions of pipelines. `served` has the current version of each pipeline by its id; `known` are other
    pipelines that have a file."""

    def __init__(self, reads: Reads, served: dict[str, str], known: Collection[str] = ()) -> None:
        self._reads = reads
        self._served = served
        self._known = known

    async def list_versions(self, pipeline: str, after: str | None, limit: int) -> VersionsDocument:
        """A page of a pipeline's versions, the newest first. Raises `PipelineNotFound` and `VersionNotFound`."""
        last = await self._find(pipeline, after) if after is not None else None
        found = await self._reads.read(list_versions, pipeline, last, limit)
        if not found and last is None and pipeline not in self._served and pipeline not in self._known:
            raise PipelineNotFound(pipeline, self._served)
        page = await self._reads.scan(lambda scan: [self._describe(scan, pipeline, each) for each in found])
        return VersionsDocument(page, found[-1].version if len(found) == limit else None)

    def _describe(self, scan: Scan, pipeline: str, found: PipelineVersion) -> VersionDocument:
        counted = scan.count_version_runs(found.version)
        scan.rest()
        return VersionDocument(
            version=found.version,
            stored_at=format_time(found.created_at),
            is_current=self._served.get(pipeline) == found.version,
            runs=counted.by_status,
            has_more_runs=counted.has_more,
        )

    async def get_version(self, pipeline: str, version: str, against: str | None = None) -> VersionTextDocument:
        """A version's text, and its differences to the version `against`. Both are a hash, the beginning of one, or
        `current`. Raises `PipelineNotFound` and `VersionNotFound`."""
        one = await self._find(pipeline, version)
        other = await self._find(pipeline, against) if against is not None else None

        def compare(scan: Scan) -> VersionTextDocument:
            pieces = _load_pieces(scan, one.version)
            diff = None
            if other is not None:
                diff = make_diff(one.version, pieces, other.version, _load_pieces(scan, other.version), scan.rest)
            return VersionTextDocument(
                version=one.version,
                stored_at=format_time(one.created_at),
                is_current=self._served.get(pipeline) == one.version,
                text="".join(pieces),
                against=other.version if other else None,
                diff=diff,
            )

        return await self._reads.scan(compare)

    async def _find(self, pipeline: str, version: str) -> PipelineVersion:
        wanted = self._served.get(pipeline) if version == CURRENT else version
        if version != CURRENT and not _BEGINNING.fullmatch(version):
            what = f"{quote(version)} is no version of {pipeline}: give 4 or more characters of its beginning"
            raise VersionNotFound(f"{what}, or `{CURRENT}`; `waypost versions {pipeline}` lists them")
        found = await self._reads.read(find_versions, pipeline, wanted, _CANDIDATES + 1) if wanted else []
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            listed = ", ".join(each.version[:SHORT] for each in found[:_CANDIDATES])
            raise VersionNotFound(f"several versions of {pipeline} begin with {quote(version)}: {listed}")
        if not await self._reads.read(list_versions, pipeline, None, 1) and pipeline not in self._served:
            raise PipelineNotFound(pipeline, self._served)
        what = "no version is served now" if version == CURRENT else f"there is no version {quote(version)}"
        raise VersionNotFound(f"{pipeline}: {what}; `waypost versions {pipeline}` lists its versions")


def _load_pieces(scan: Scan, version: str) -> list[str]:
    pieces = []
    for piece in format_definition(scan.load_definition(version) or b"{}"):
        pieces.append(piece)
        scan.rest()
    return pieces


def format_definition(data: bytes) -> Iterator[str]:
    """A stored definition as YAML, with the words of pipeline files where those are known, in pieces: a key of the
    pipeline or a step. A definition of 1 MB takes seconds as a whole."""
    for name, value in _translate(msgspec.json.decode(data)).items():
        if name in _STEPS:
            yield f"{name}:\n"
            yield from (_dump([step]) for step in value)
        else:
            yield _dump({name: value})


def format_step(step: ResolvedStep) -> str:
    """A step of a stored definition as YAML, with the words of pipeline files."""
    return _dump(_translate(msgspec.to_builtins(step)))


def _dump(tree: Any) -> str:
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


# -- differences ------------------------------------------------------------------------------------------------


def make_diff(
    one: str, pieces: Sequence[str], other: str, other_pieces: Sequence[str], rest: Callable[[], None]
) -> str:
    """How two versions differ, as a unified diff whose hunks are named after the step; empty if they are equal.

    Pieces are compared as wholes first, because comparing all lines of a long definition would take a minute. `rest` is
    called between two pieces.
    """
    lines = [f"--- {one[:SHORT]}", f"+++ {other[:SHORT]}"] if list(pieces) != list(other_pieces) else []
    matcher = difflib.SequenceMatcher(None, pieces, other_pieces, autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        for before, after in zip_longest(pieces[start:end], other_pieces[other_start:other_end], fillvalue=""):
            lines += _compare(before.splitlines(), after.splitlines())
            rest()
    return "".join(f"{line}\n" for line in lines)


def _compare(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """The hunks of one piece; a very long one is shown as removed and added."""
    heading = f"@@ {(before or after)[0].removeprefix('- ')} @@"
    if len(before) + len(after) > COMPARED:
        yield from (heading, *(f"-{line}" for line in before), *(f"+{line}" for line in after))
        return
    hunks = islice(difflib.unified_diff(before, after, lineterm=""), 2, None)  # without the names of files
    yield from (heading if line.startswith("@@") else line for line in hunks)


# -- the words of pipeline files --------------------------------------------------------------------------------


def _translate(tree: Any) -> Any:
    """The tree with the keys and the durations of pipeline files. What the author chose stays as it is."""
    match tree:
        case list():
            return [_translate(each) for each in tree]
        case dict():
            translated = {name: value for name, value in tree.items() if (name, value) != ("kind", "action")}
            first = {name: translated.pop(name) for name in ("id", "use") if name in translated}
            return {
                _RENAMED.get(name, name): value if name in _VERBATIM else _translate_value(name, value)
                for name, value in (first | translated).items()
            }
    return tree


def _translate_value(name: str, value: JSON) -> Any:
    if name in _DURATIONS and isinstance(value, int) and not isinstance(value, bool):
        return format_duration(value)
    return _translate(value)


class _Dumper(FASTEST_DUMPER):  # type: ignore[misc]  # chosen when it is imported
    """Writes texts of several lines as blocks."""


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
