"""The folder of pipeline files: loaded, checked, and read again when they change.

An invalid file disables only itself, visibly. A file that was valid before continues to serve its last valid version
until it is corrected or removed.
"""

import errno
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from durable.action import Action
from durable.definition import Definition
from durable.engine import Start
from durable.language.catalogue import Catalogue
from durable.language.core_action_check import PipelineCall
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.problem import Problem
from durable.retention import KEEP_ALL, RetentionPolicy
from durable.secrets import Secrets
from durable.steps.resolved import RUN_TIMEOUT
from durable.trigger_inputs import TriggerInputs
from durable.units import Event
from durable.yaml.document import LIMITS
from triggers.config.catalogue import Connectors
from triggers.config.connections import Connections
from triggers.config.unread import PIPELINES, UnreadFiles, find_unread, is_pipeline_file
from triggers.documents.pipelines import PipelineLineDocument, PipelineStatus
from triggers.kinds import list_kinds, list_models
from triggers.runs.lists import ServedNames
from triggers.trigger import Trigger

log = logging.getLogger("waypost.folder")

_ID = re.compile(rb"^id:\s*[\"']?([a-z][a-z0-9_]*)", re.MULTILINE)

Wanted = TypeVar("Wanted", bound=Trigger)


def make_catalogue(connectors: Connectors, triggers: Mapping[str, type[TriggerInputs]]) -> Catalogue:
    """What pipeline files can use: the connectors' actions and the kinds of triggers, with their models."""
    return Catalogue(connectors.actions, triggers, connectors.broken, connectors.skipped, connectors.needs_connection)


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """One file: what it defines, or its problems. `is_refused`: the file changed and is invalid, and its last valid
    version is served. `triggers` are by kind. `retention`: how long its runs are kept; None means the default.
    `input_names`: its inputs in the order in which the file has them; the definition sorts them."""

    path: Path
    data: bytes
    problems: tuple[Problem, ...] = ()
    definition: Definition | None = None
    triggers: Mapping[str, Sequence[Trigger]] = field(default_factory=dict)
    calls: tuple[PipelineCall, ...] = ()
    is_refused: bool = False
    retention: RetentionPolicy | None = None
    input_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.definition.id if self.definition else self.path.stem

    @property
    def names(self) -> set[str]:
        """The possible ids of its pipeline, even if the file has errors: its callers do not report these errors."""
        written = _ID.search(self.data)
        return {self.name, self.path.stem, *([written[1].decode()] if written else [])}

    @property
    def is_valid(self) -> bool:
        return self.definition is not None and not self.is_refused

    @property
    def status(self) -> PipelineStatus:
        """What is served of the file."""
        if self.is_valid:
            return "serving"
        return "serving the version before" if self.definition else "disabled"

    def line(self, number: int) -> str:
        """A line of its text, counted from 1; empty if there is none."""
        lines = self.data.decode(errors="replace").splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def describe(self) -> PipelineLineDocument:
        """The file as an entry of a list."""
        return PipelineLineDocument(
            id=self.name,
            file=self.path.name,
            status=self.status,
            version=self.definition.version if self.definition else None,
            **self._describe_triggers(),
            problems=[str(problem) for problem in self.problems],
        )

    def _describe_triggers(self) -> dict[str, list[str]]:
        """What its triggers react to, by the names of the lists."""
        found: dict[str, list[str]] = {kind.listed_as: [] for kind in list_kinds().values()}
        for kind in list_kinds().values():
            found[kind.listed_as] += [kind.describe(each) for each in self.triggers.get(kind.name, ())]
        return found


class Folder:
    """The pipeline files of a config folder in the order of their names, and the connections that they use."""

    def __init__(
        self,
        folder: Path,
        connectors: Connectors,
        secrets: Secrets,
        *,
        run_timeout: int = RUN_TIMEOUT,
        retention: RetentionPolicy | None = None,
        public_url: str | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.path = folder / PIPELINES
        self.connections = connections
        self.connectors = connectors
        self._kinds = list_kinds(public_url)
        self._catalogue = make_catalogue(connectors, list_models(public_url))
        self._secrets = secrets
        self._run_timeout = run_timeout
        self._retention = retention or RetentionPolicy()
        self._loaded: Mapping[Path, PipelineFile] = {}
        self._is_rewired = False
        self._checked_with = secrets.revision
        self.unread = UnreadFiles()
        self.files: tuple[PipelineFile, ...] = ()
        self._by_id: dict[str, Definition] = {}
        self._policies: dict[str, RetentionPolicy] = {}
        self.serve(self.read())

    def read(self) -> dict[Path, PipelineFile]:
        """Read the folder. Nothing of it is served before `serve`."""
        self._is_rewired |= self.connectors.refresh()
        self._is_rewired |= self.connections is not None and self.connections.refresh()
        self._is_rewired |= self._checked_with != self._secrets.revision
        self._checked_with = self._secrets.revision
        self.unread = find_unread(self.path.parent)
        paths = sorted(path for path in self.path.glob("*") if is_pipeline_file(path))
        return {path: self._read(path) for path in paths}

    def serve(self, loaded: Mapping[Path, PipelineFile]) -> list[PipelineFile]:
        """Serve what was read. Returns the files that are new or changed, and those that are gone in their last
        version."""
        changed = [file for path, file in loaded.items() if file is not self._loaded.get(path)]
        gone = [file for path, file in self._loaded.items() if path not in loaded]
        self._loaded, self._is_rewired = loaded, False
        before = {file.path: file for file in self.files}
        self.files = tuple(_disable_vain_calls(_disable_clashes(loaded.values()), before))
        self._by_id = {file.name: file.definition for file in self.files if file.definition}
        self._policies = {file.name: file.retention for file in self.files if file.retention}
        reported = {file.path for file in changed}
        turned = [
            file
            for file in self.files
            if file.path in before and file.path not in reported and file.problems != before[file.path].problems
        ]
        return changed + gone + turned

    def find_action(self, use: str) -> Action | None:
        """The action of a connector, such as `http.post`."""
        return self._catalogue.actions.get(use)

    def definition(self, pipeline: str) -> Definition | None:
        return self._by_id.get(pipeline)

    def find_source(self, pipeline: str, version: str) -> tuple[str, bytes] | None:
        """Return the name and the text of the file that means this version; None if none does any more."""
        for file in self.files:
            if file.is_valid and file.definition and (file.name, file.definition.version) == (pipeline, version):
                return file.path.name, file.data
        return None

    def find_policy(self, pipeline: str) -> RetentionPolicy:
        """How long the runs of a pipeline are kept."""
        if pipeline not in self._by_id and self.broken:
            return KEEP_ALL  # the file with errors may be that of the pipeline, and keep its runs for ever
        return self._policies.get(pipeline, self._retention)

    @property
    def definitions(self) -> list[Definition]:
        return list(self._by_id.values())

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers of all files."""
        return [trigger for file in self.files for each in file.triggers.values() for trigger in each]

    def find_triggers(self, wanted: type[Wanted]) -> list[Wanted]:
        """The triggers of one kind, by its class."""
        return [each for each in self.triggers if isinstance(each, wanted)]

    def list_names(self) -> ServedNames:
        """The names of all pipelines, and of the triggers of those that can be read."""
        return ServedNames(
            {file.name for file in self.files},
            {trigger.id for trigger in self.triggers},
            {trigger.name for trigger in self.triggers},
        )

    @property
    def broken(self) -> set[str]:
        """The names of pipelines whose files serve nothing at the moment."""
        return {file.name for file in self.files if file.definition is None}

    def starts(self, event: Event) -> list[Start]:
        """The runs that an event starts."""
        return [start for each in self.triggers if (start := each.start_for(event))]

    def _read(self, path: Path) -> PipelineFile:
        before = self._loaded.get(path)
        try:
            data = read_bytes(path)
        except OSError as error:
            problem = Problem(str(path), 1, 1, f"the file cannot be read: {error.strerror}")
            return _keep_serving(before, PipelineFile(path, b"", (problem,)))
        if before and before.data == data and not self._is_rewired:
            return before
        now = self._load_safely(path, data)
        if before and before.data == data and before.problems == now.problems and _is_same_version(before, now):
            return before
        return _keep_serving(before, now)

    def _load_safely(self, path: Path, data: bytes) -> PipelineFile:
        """Load a file. If a model raises, that disables only this file."""
        try:
            return self._load(path, data)
        except Exception as error:
            log.exception("%s could not be checked", path.name)
            what, cure = f"checking the file failed: {type(error).__name__}", "a bug in a connector or in Waypost"
            return PipelineFile(path, data, (Problem(str(path), 1, 1, what, f"{cure}; see the log"),))

    def _load(self, path: Path, data: bytes) -> PipelineFile:
        loaded = load_pipeline(
            data,
            file=str(path),
            catalogue=self._catalogue,
            secrets=self._secrets.has,
            examine_secret=self._secrets.find_doubts,
            connections=self.connections.find_connector if self.connections else None,
            connection_names=self.connections.names if self.connections else (),
            is_broken=self.connections.is_broken if self.connections else lambda connection: False,
        )
        if loaded.pipeline is None:
            return PipelineFile(path, data, loaded.problems)
        definition = resolve_pipeline(loaded.pipeline, self._catalogue.actions.get, self._run_timeout)
        triggers = loaded.pipeline.triggers or ()
        compiled = {
            name: [kind.compile(definition, spec) for spec in triggers if spec.use == name]
            for name, kind in self._kinds.items()
        }
        retention = loaded.pipeline.retention.fill_in(self._retention) if loaded.pipeline.retention else None
        names = tuple(loaded.pipeline.inputs or ())
        return PipelineFile(
            path, data, loaded.problems, definition, compiled, loaded.calls, retention=retention, input_names=names
        )


def _is_same_version(before: PipelineFile, now: PipelineFile) -> bool:
    """Whether a file that did not change still has the same version, which contains the actions of connectors."""
    if before.definition is None or now.definition is None:
        return True  # it has errors, and what it served before stays in use
    return before.definition.version == now.definition.version


def read_bytes(path: Path) -> bytes:
    """The content of a file, up to one byte more than is accepted; raises OSError."""
    if not path.is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is not a file")
    with path.open("rb") as file:
        return file.read(LIMITS.size + 1)


def _keep_serving(before: PipelineFile | None, now: PipelineFile) -> PipelineFile:
    """The new version of a file, or, if that is invalid, the one before."""
    if before is None or before.definition is None or now.definition is not None:
        return now
    return replace(before, data=now.data, problems=now.problems, is_refused=True)


def find_unknown_calls(file: PipelineFile, pipelines: Collection[str]) -> list[Problem]:
    """The problems of a file's calls if these pipelines exist and no others."""
    return [problem for call in file.calls if (problem := call.problem(str(file.path), pipelines))]


def _disable_vain_calls(files: Sequence[PipelineFile], before: Mapping[Path, PipelineFile]) -> Iterator[PipelineFile]:
    """The files. One that calls an unknown pipeline is disabled or serves its version before."""
    known = {name for file in files for name in file.names}
    for file in files:
        if problems := find_unknown_calls(file, known):
            vain = PipelineFile(file.path, file.data, (*file.problems, *problems), calls=file.calls)
            yield _keep_serving(before.get(file.path), vain)
        else:
            yield file


def _disable_clashes(files: Iterable[PipelineFile]) -> Sequence[PipelineFile]:
    """The files in their order. If several claim the same id or webhook, all but one are disabled. A file that is named
    after its pipeline takes precedence, so that a copy (`copy of one.yaml`) does not disable the original."""
    taken: dict[object, Path] = {}
    judged = {file.path: file for file in _disable_later_claims(sorted(files, key=_is_misnamed), taken)}
    return [judged[path] for path in sorted(judged)]


def _is_misnamed(file: PipelineFile) -> bool:
    return file.name != file.path.stem


def _disable_later_claims(files: Iterable[PipelineFile], taken: dict[object, Path]) -> Iterator[PipelineFile]:
    for file in files:
        wanted = _find_claims(file)
        clashes = [(what, taken[key]) for key, what in wanted.items() if key in taken]
        if clashes:
            problems = [
                Problem(str(file.path), 1, 1, f"{what} is taken by {path.name}", "rename one of them")
                for what, path in clashes
            ]
            yield PipelineFile(file.path, file.data, (*file.problems, *problems))
        else:
            taken |= dict.fromkeys(wanted, file.path)
            yield file


def _find_claims(file: PipelineFile) -> dict[object, str]:
    """What only one file can have, with words for it."""
    if file.definition is None:
        return {}
    wanted: dict[object, str] = {file.name: f"the id {file.name!r}"}
    for triggers in file.triggers.values():
        for trigger in triggers:
            wanted |= trigger.list_claims()
    return wanted
