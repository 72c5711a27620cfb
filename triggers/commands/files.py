"""Pipeline files as commands read them, without a service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from durable.secrets import Secrets
from triggers.catalogue import load_connectors
from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.connections import Connections
from triggers.folder import Folder
from triggers.settings import Settings

Document: TypeAlias = dict[str, Any]


def load_folder(config: Path, environment: Mapping[str, str], secrets: Secrets | None = None) -> Folder:
    """The config folder's pipelines; raises `CommandFailed` if there is none, and `SettingsError`."""
    if not (config / "pipelines").is_dir():
        raise no_pipelines(config)
    settings = Settings.load(config, environment, {})
    known, connectors = secrets or Secrets(environment), load_connectors()
    return Folder(
        config,
        connectors,
        known,
        run_timeout=settings.run_timeout,
        public_url=settings.public_url,
        connections=Connections(config, connectors, known),
    )


def no_pipelines(config: Path) -> CommandFailed:
    """What to say where a config folder has no pipelines."""
    option = "" if config == Path("config") else f" --config {config}"
    return CommandFailed(
        f"there is no folder {config / 'pipelines'}: `waypost init{option}` writes one, or name yours with --config",
        WRONG_USE,
    )


def describe_files(folder: Folder) -> list[Document]:
    """The files as a service would describe them, but that nobody serves them."""
    return [
        {**file, "status": "valid" if file["status"] == "serving" else file["status"]}
        for file in (each.described() for each in folder.files)
    ]
