"""The pipelines of a config folder, loaded without a service."""

from pathlib import Path

from durable.secrets import Secrets
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.folder import Folder
from triggers.instance import Instance
from triggers.not_found import PipelinesMissing
from triggers.reading.stored_secrets import load_secrets
from triggers.settings import Settings


def ensure_pipelines(config: Path) -> None:
    """Raise `PipelinesMissing` unless the config folder has a folder of pipelines."""
    if not (config / "pipelines").is_dir():
        raise PipelinesMissing(config)


def load_folder(instance: Instance, secrets: Secrets | None = None) -> Folder:
    """Load every pipeline of an instance's config folder; raises `PipelinesMissing` and `SettingsError`."""
    ensure_pipelines(instance.config)
    settings = Settings.load(instance.config, instance.environment, {})
    known, connectors = secrets or load_secrets(instance), load_connectors(instance.config, instance.data)
    return Folder(
        instance.config,
        connectors,
        known,
        run_timeout=settings.run_timeout,
        retention=settings.retention,
        public_url=settings.public_url,
        connections=Connections(instance.config, connectors, known),
    )
