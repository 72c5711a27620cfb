"""Replays recorded histories of real runs: the core must decide as it did when they were recorded."""

import msgspec
import pytest

from durable.decide.advance import Advance
from durable.history.encoding import encode_entries
from durable.history.entries import AnyEntry, CancelRequested, MainEnding
from durable.replay import replay_entries
from tests.core.replaying import check_decisions
from tests.histories import FOLDER, names, read
from tests.histories.scenes import scenes
from tests.service.running import ENVIRONMENT

FOLDED_ONLY = {1}
"""Semantics under which the core decided otherwise: runs that ended under them are read for ever, and not replayed."""

RECORDED = {name: read(name) for name in names()}
REPLAYED = [name for name, each in RECORDED.items() if each.started.semantics not in FOLDED_ONLY]


def _kinds(entries: list[AnyEntry]) -> list[str]:
    return [str(entry.__struct_config__.tag) for entry in entries]


@pytest.mark.parametrize("name", REPLAYED)
def test_the_core_decides_today_as_it_did_when_a_history_was_recorded(name: str) -> None:
    recorded = RECORDED[name]
    assert check_decisions(recorded.compiled(), recorded.run, recorded.entries).status == recorded.status


@pytest.mark.parametrize("name", RECORDED)
def test_replaying_a_recorded_history_yields_the_status_of_its_run(name: str) -> None:
    recorded = RECORDED[name]
    assert replay_entries(recorded.run, recorded.entries).status == recorded.status


@pytest.mark.parametrize("name", RECORDED)
def test_stored_definitions_keep_their_version_and_entries_their_json(name: str) -> None:
    recorded = RECORDED[name]
    assert recorded.compiled().version == recorded.started.version
    stored, payloads = encode_entries(recorded.entries)
    decoded = msgspec.json.decode(stored, type=list[AnyEntry])
    assert decoded == recorded.entries
    assert all(ref in stored.decode() for ref in payloads)


def test_every_pipeline_and_every_scene_has_a_history() -> None:
    assert not scenes().keys() - RECORDED.keys(), "python -m tests.histories.record writes those that are missing"


def test_every_kind_of_entry_occurs_in_a_history() -> None:
    seen = {kind for recorded in RECORDED.values() for kind in _kinds(recorded.entries)}
    every = {str(kind.__struct_config__.tag) for kind in AnyEntry.__args__}
    assert seen == every


def test_no_history_contains_a_secret_or_a_local_path() -> None:
    secrets = [value for name, value in ENVIRONMENT.items() if "SECRET" in name]
    for name in RECORDED:
        text = (FOLDER / f"{name}.json").read_text()
        assert not [word for word in (*secrets, "/tmp", "/home", "/root", "/Users", "Traceback") if word in text], name


# -- earlier semantics ------------------------------------------------------------------------------------------

# For semantics 1 only replaying is guaranteed. Decisions that have not changed since can be checked too; a cancel
# cannot: it used to end the run at once, and now the end is announced first (`main_ending`), since a `finally` may
# have to be performed before it. These two were recorded by the core of that time and cannot be recorded again.


def test_unchanged_decisions_of_semantics_1_are_replayed() -> None:
    recorded = RECORDED["semantics_1-retry"]
    assert recorded.started.semantics == 1
    assert "retry_scheduled" in _kinds(recorded.entries)
    assert check_decisions(recorded.compiled(), recorded.run, recorded.entries).status == "completed"


def test_a_history_of_semantics_1_is_replayed_up_to_its_cancel() -> None:
    recorded = RECORDED["semantics_1-cancel"]
    assert recorded.started.semantics == 1
    at = next(number for number, entry in enumerate(recorded.entries) if isinstance(entry, CancelRequested))
    cancel = recorded.entries[at]
    assert isinstance(cancel, CancelRequested)
    state = check_decisions(recorded.compiled(), recorded.run, recorded.entries[:at])
    advance = Advance(recorded.compiled(), state, cancel)
    advance.follow()
    assert isinstance(advance.entries[1], MainEnding)
    assert _kinds(recorded.entries[at:]) == ["cancel_requested", "step_cancelled", "main_ended", "run_finished"]
