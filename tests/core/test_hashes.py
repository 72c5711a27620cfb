"""The versions of definitions: no change of a connector's port alters the hash of a shipped or a recorded pipeline."""

from collections import defaultdict
from pathlib import Path

from durable.definition import Definition
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.steps.resolved import RUN_TIMEOUT
from tests.histories import names, read
from tests.histories.stage import PIPELINES
from tests.service.running import add_connectors
from tests.standins.stand import Stand
from triggers.config.catalogue import load_connectors
from triggers.config.folder import make_catalogue
from triggers.kinds import list_models

CONFIG = Path(__file__).parent.parent.parent / "config" / "pipelines"
NINETY_DAYS = 90 * 86_400_000
SHIPPED = {
    "github_push": "a39c5a96864aed58bd55bb2d1d4aba9e3217ef914f4aa9d60ac7de4b9f3dd14b",
    "hello": "63347323307a2f3b4ec49f859955ec2bb79e1667986838776040f279ee12e683",
    "refund": "af0850e61c09cb4d64d254e8456bcf721e7a15f033946a42c9bed0ca5ef65c75",
}


def resolve(name: str, text: bytes, run_timeout: int = RUN_TIMEOUT) -> Definition:
    connectors = add_connectors(load_connectors(), [Stand().connector])
    loaded = load_pipeline(
        text,
        file=f"{name}.yaml",
        catalogue=make_catalogue(connectors, list_models()),
        secrets=lambda _: True,
        connections=lambda _: "http",
        connection_names=["http"],
    )
    assert loaded.pipeline, loaded.problems
    return resolve_pipeline(loaded.pipeline, connectors.actions.get, run_timeout)


def test_shipped_pipelines_keep_their_versions() -> None:
    assert {path.stem: resolve(path.stem, path.read_bytes()).version for path in CONFIG.glob("*.yaml")} == SHIPPED


def test_recorded_pipelines_keep_their_versions() -> None:
    recorded = defaultdict(set)
    for name in names():
        history = read(name)
        recorded[history.started.pipeline].add(history.started.version)
    found = {name: resolve(name, text.encode(), NINETY_DAYS).version for name, text in PIPELINES.items()}
    assert not [name for name, version in found.items() if version not in recorded[name]]
