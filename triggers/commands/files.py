"""Pipeline files as commands read them, without a service."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from durable.definition import resolve
from durable.flow import CORE_ACTIONS
from durable.language.load import Catalogue, load
from durable.secrets import Secrets
from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.commands.output import counted, print_table
from triggers.connections import Connections
from triggers.folder import TRIGGERS, Folder, PipelineFile
from triggers.service import actions, connections
from triggers.settings import Settings
from triggers.webhooks.hook import Webhook

Document: TypeAlias = dict[str, Any]

TONES = {"serving": "green", "valid": "green", "disabled": "red", "serving the version before": "yellow"}


def folder_of(config: Path, environment: Mapping[str, str], secrets: Secrets | None = None) -> Folder:
    """The config folder's pipelines; raises `CommandFailed` if there is none, and `SettingsError`."""
    if not (config / "pipelines").is_dir():
        raise no_pipelines(config)
    settings = Settings.load(config, environment, {})
    known = secrets or Secrets(environment)
    return Folder(
        config,
        actions(),
        known,
        run_timeout=settings.run_timeout,
        public_url=settings.public_url,
        connections=connections(config, known),
    )


def no_pipelines(config: Path) -> CommandFailed:
    """What to say where a config folder has no pipelines."""
    option = "" if config == Path("config") else f" --config {config}"
    return CommandFailed(
        f"there is no folder {config / 'pipelines'}: `waypost init{option}` writes one, or name yours with --config",
        WRONG_USE,
    )


def only(paths: Sequence[Path], config: Path, environment: Mapping[str, str]) -> list[PipelineFile]:
    """These files. Those of the config folder are checked beside the others there, whose ids and webhooks are taken."""
    is_there = (config / "pipelines").is_dir()
    known = {file.path.resolve(): file for file in folder_of(config, environment).files} if is_there else {}
    webhook = Webhook.at(Settings.load(config, environment, {}).public_url)
    catalogue = Catalogue(actions=actions(), core=CORE_ACTIONS, triggers={**TRIGGERS, "webhook": webhook})
    secrets = Secrets(environment)
    wired = connections(config, secrets)
    return [known.get(path.resolve()) or _alone(path, catalogue, secrets, wired) for path in paths]


def _alone(path: Path, catalogue: Catalogue, secrets: Secrets, wired: Connections) -> PipelineFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}", WRONG_USE) from None
    loaded = load(
        data,
        file=str(path),
        catalogue=catalogue,
        secrets=secrets.has,
        connections=wired.connector,
        connection_names=wired.names,
    )
    definition = resolve(loaded.pipeline, catalogue.actions.get) if loaded.pipeline else None
    return PipelineFile(path, data, loaded.problems, definition)


def described(folder: Folder) -> list[Document]:
    """The files as a service would describe them, but that nobody serves them."""
    return [
        {**file, "status": "valid" if file["status"] == "serving" else file["status"]}
        for file in (each.described() for each in folder.files)
    ]


def print_pipelines(out: Console, found: Iterable[Document]) -> None:
    """A line a pipeline, then the problems."""
    found = list(found)
    rows = ((each["id"], _toned(each["status"]), each["file"], _summary(each)) for each in found)
    print_table(out, ("PIPELINE", "STATUS", "FILE", "WEBHOOKS"), rows, fold="WEBHOOKS")
    for each in found:
        for problem in each["problems"]:
            out.print(problem, soft_wrap=True)


def _toned(status: str) -> Text:
    return Text(status, TONES.get(status, ""))


def _summary(file: Document) -> str:
    problems = [counted(len(file["problems"]), "problem")] if file["problems"] else []
    return "  ".join([*file["webhooks"], *problems])
