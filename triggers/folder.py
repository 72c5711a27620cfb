"""The config folder: its pipeline files, loaded and checked. A file that is invalid disables only itself, visibly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from durable.action import Action
from durable.definition import RUN_TIMEOUT, Definition, resolve
from durable.flow import CORE_ACTIONS
from durable.language.load import Catalogue, load
from durable.language.pipeline import Pipeline
from durable.language.problem import Problem
from durable.secrets import Secrets
from durable.values import JSON
from triggers.hook import Hook, Webhook


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """One file of the folder: what it defines, or what is wrong with it."""

    path: Path
    text: str
    problems: tuple[Problem, ...]
    pipeline: Pipeline | None = None
    definition: Definition | None = None
    hooks: tuple[Hook, ...] = ()

    @property
    def name(self) -> str:
        return self.pipeline.id if self.pipeline else self.path.stem


@dataclass(frozen=True, slots=True)
class Folder:
    """Every pipeline file of a config folder, in the order of their names."""

    files: tuple[PipelineFile, ...] = ()
    _by_id: Mapping[str, Definition] = field(default_factory=dict)

    @classmethod
    def read(
        cls, folder: Path, actions: Mapping[str, Action], secrets: Secrets, *, run_timeout: int = RUN_TIMEOUT
    ) -> "Folder":
        """Load `pipelines/*.yaml` below the folder."""
        catalogue = Catalogue(actions=actions, core=CORE_ACTIONS, triggers={"webhook": Webhook})
        paths = sorted(path for path in (folder / "pipelines").glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
        files: list[PipelineFile] = []
        for path in paths:
            files.append(_without_clash(_read(path, catalogue, secrets, run_timeout), files))
        definitions = {file.name: file.definition for file in files if file.definition}
        return cls(tuple(files), definitions)

    def definition(self, pipeline: str) -> Definition | None:
        return self._by_id.get(pipeline)

    @property
    def definitions(self) -> list[Definition]:
        return list(self._by_id.values())

    @property
    def hooks(self) -> list[Hook]:
        return [hook for file in self.files for hook in file.hooks]

    @property
    def problems(self) -> list[Problem]:
        return [problem for file in self.files for problem in file.problems]

    def described(self) -> list[JSON]:
        """The files as a list shows them."""
        return [
            {
                "id": file.name,
                "file": file.path.name,
                "version": file.definition.version if file.definition else None,
                "webhooks": [f"/hooks{hook.path}" for hook in file.hooks],
                "problems": [str(problem) for problem in file.problems],
            }
            for file in self.files
        ]


def _read(path: Path, catalogue: Catalogue, secrets: Secrets, run_timeout: int) -> PipelineFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        return PipelineFile(path, "", (Problem(str(path), 1, 1, f"cannot be read: {error.strerror}"),))
    loaded = load(data, file=str(path), catalogue=catalogue, secrets=secrets.has)
    text = data.decode(errors="replace")
    pipeline = loaded.pipeline
    if pipeline is None:
        return PipelineFile(path, text, loaded.problems)
    definition = resolve(pipeline, catalogue.actions.get, run_timeout)
    hooks = tuple(Hook.of(definition, spec) for spec in pipeline.triggers or () if spec.use == "webhook")
    return PipelineFile(path, text, loaded.problems, pipeline, definition, hooks)


def _without_clash(file: PipelineFile, earlier: Sequence[PipelineFile]) -> PipelineFile:
    """The file, disabled if an earlier one has its id or one of its webhooks."""
    if file.definition is None:
        return file
    problems = [
        _clash(file, f"the id {file.name!r} is taken by {other.path.name}; give one of them another `id`")
        for other in earlier
        if other.definition and other.name == file.name
    ] + [
        _clash(file, f"the webhook {mine.path} is taken by {other.path.name}; give one of them another `path`")
        for other in earlier
        for theirs in other.hooks
        for mine in file.hooks
        if theirs.pattern == mine.pattern and theirs.methods & mine.methods
    ]
    if not problems:
        return file
    return PipelineFile(file.path, file.text, (*file.problems, *problems))


def _clash(file: PipelineFile, message: str) -> Problem:
    return Problem(str(file.path), 1, 1, message)
