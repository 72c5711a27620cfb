"""`waypost validate`: check pipeline files and connections.yaml without running anything."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from durable.language.catalogue import Catalogue
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.secrets import Secrets
from triggers.commands.failure import FAILED, WRONG_USE, CommandFailed
from triggers.commands.learn import learn_actions, load_known_connectors
from triggers.commands.output import open_console, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import CheckedFile, is_github_action, print_problems, to_annotations, to_json
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.connector_files import ConnectorFile
from triggers.config.folder import PipelineFile, find_unknown_calls, make_catalogue, read_bytes
from triggers.config.unread import UnreadFiles, is_pipeline_file
from triggers.instance import Instance
from triggers.kinds import list_models
from triggers.reading.config_folder import load_folder
from triggers.reading.stored_secrets import load_secrets
from triggers.settings import Settings

Files = Annotated[list[Path] | None, typer.Argument(help="Only these files; default: all files of the config folder.")]


def validate(files: Files = None, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = check_config(files, Instance(config, data, os.environ))
    if as_json:
        print_json(to_json(found.files))
    else:
        if is_github_action():
            for line in to_annotations(found.files, os.environ):
                typer.echo(line)
        else:
            print_problems(found.files, open_console())
        typer.echo(found.summarize())
    if not found.is_valid:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class ConfigCheck:
    """Pipeline files, and the connections and connectors where they are to be checked as well."""

    pipelines: Sequence[PipelineFile]
    connections: Connections | None
    connectors: Sequence[ConnectorFile] = ()
    unread: UnreadFiles = field(default_factory=UnreadFiles)

    @property
    def files(self) -> list[CheckedFile]:
        connections = [self.connections] if self.connections else []
        return [*self.connectors, *connections, self.unread, *self.pipelines]

    @property
    def is_valid(self) -> bool:
        return all(each.is_valid for each in self.files)

    def summarize(self) -> str:
        """How much of it is valid; sound connections are worth a word only where nothing else was asked for."""
        words = [_count_valid("pipeline", self.pipelines)] if self.pipelines or not self.connectors else []
        words += [_count_valid("connector", self.connectors)] if self.connectors else []
        if self.connections is not None:
            word = f"{self.connections.path.name} is {'valid' if self.connections.is_valid else 'not valid'}"
            if not self.pipelines and not self.connectors:
                return word
            words += [] if self.connections.is_valid else [word]
        return "; ".join(words)


def _count_valid(noun: str, files: Sequence[CheckedFile]) -> str:
    valid = sum(each.is_valid for each in files)
    return f"{valid} of {len(files)} {noun}s are valid"


def check_config(paths: Sequence[Path] | None, instance: Instance) -> ConfigCheck:
    """Check the whole config folder, or only these files; raises `CommandFailed` and `SettingsError`."""
    if not paths:
        folder = load_folder(instance)
        if learn_actions(folder.connectors, instance):
            folder = load_folder(instance)
        return ConfigCheck(folder.files, folder.connections, [*folder.connectors.folder.files.values()], folder.unread)
    connectors, secrets = load_known_connectors(instance), load_secrets(instance)
    wired = Connections(instance.config, connectors, secrets)
    own = {file.path.resolve(): file for file in connectors.folder.files.values()}
    files = [own[path.resolve()] for path in paths if path.resolve() in own]
    pipelines = [path for path in paths if path.resolve() not in {wired.path.resolve(), *own}]
    asked = wired if any(path.resolve() == wired.path.resolve() for path in paths) else None
    return ConfigCheck(_check_files(pipelines, instance, secrets, wired), asked, files)


def _check_files(paths: Sequence[Path], instance: Instance, secrets: Secrets, wired: Connections) -> list[PipelineFile]:
    """These files. Those of the config folder are checked beside the others there, whose ids and webhooks are taken."""
    is_there = (instance.config / "pipelines").is_dir()
    known = {file.path.resolve(): file for file in load_folder(instance, secrets).files} if is_there else {}
    models = list_models(Settings.load(instance.config, instance.environment, {}).public_url)
    catalogue = make_catalogue(load_connectors(instance.config, instance.data), models)
    found = [known.get(path.resolve()) or _load_file(path, catalogue, secrets, wired) for path in paths]
    names = {name for file in (*known.values(), *found, *_list_neighbours(paths)) for name in file.names}
    return [
        file if path.resolve() in known else _check_calls(file, names) for path, file in zip(paths, found, strict=True)
    ]


def _list_neighbours(paths: Sequence[Path]) -> Iterator[PipelineFile]:
    """The other pipeline files of these files' folders, by their names alone."""
    for folder in {path.parent for path in paths}:
        for path in filter(is_pipeline_file, folder.iterdir()):
            with suppress(OSError):
                yield PipelineFile(path, read_bytes(path))


def _check_calls(file: PipelineFile, names: Collection[str]) -> PipelineFile:
    """The file, invalid if it calls a pipeline that is not among these."""
    problems = find_unknown_calls(file, names)
    return replace(file, problems=(*file.problems, *problems), definition=None) if problems else file


def _load_file(path: Path, catalogue: Catalogue, secrets: Secrets, wired: Connections) -> PipelineFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}", WRONG_USE) from None
    loaded = load_pipeline(
        data,
        file=str(path),
        catalogue=catalogue,
        secrets=secrets.has,
        examine_secret=secrets.find_doubts,
        connections=wired.find_connector,
        connection_names=wired.names,
        is_broken=wired.is_broken,
    )
    definition = resolve_pipeline(loaded.pipeline, catalogue.actions.get) if loaded.pipeline else None
    return PipelineFile(path, data, loaded.problems, definition, calls=loaded.calls)
