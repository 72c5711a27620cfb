"""The pipelines of a config folder, loaded without a service."""

from collections.abc import Mapping
from pathlib import Path

from durable.secrets import Secrets
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.folder import Folder
from triggers.not_found import PipelinesMissing
from triggers.settings import Settings


def ensure_pipelines(config: Path) -> None:
    """Raise `PipelinesMissing` unless the config folder has a folder of pipelines."""
    if not (config / "pipelines").is_dir():
        raise PipelinesMissing(config)


def load_folder(config: Path, environment: Mapping[str, str], secrets: Secrets | None = None) -> Folder:
    """Load every pipeline of a config folder; raises `PipelinesMissing` and `SettingsError`."""
    ensure_pipelines(config)
    settings = Settings.load(config, environment, {})
    known, connectors = secrets or Secrets(environment), load_connectors(config)
    return Folder(
        config,
        connectors,
        known,
        run_timeout=settings.run_timeout,
        retention=settings.retention,
        public_url=settings.public_url,
        connections=Connections(config, connectors, known),
    )
