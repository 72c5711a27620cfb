"""The config folder: what is read is served when the journal has it, and not before."""

import os
from pathlib import Path

from durable.secrets import Secrets
from triggers.folder import Folder
from triggers.offered import actions

TEXT = "triggers: [{id: e, use: event, with: {type: t}}]\nsteps: [{id: a, use: log.write, with: {message: x}}]\n"


def test_what_was_read_is_served_when_it_is_told_to_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    file = tmp_path / "pipelines" / "p.yaml"
    file.write_text(TEXT)
    folder = Folder(tmp_path, actions(), Secrets({}))
    before = folder.definition("p")
    file.write_text(TEXT.replace("message: x", "message: y"))

    read = folder.read()
    assert folder.definition("p") is before
    assert [each.name for each in folder.serve(read)] == ["p"]
    assert folder.definition("p") not in (None, before)
    assert folder.serve(folder.read()) == []


def test_what_is_no_file_or_too_large_disables_only_itself_and_is_not_read(tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines"
    pipelines.mkdir()
    (pipelines / "p.yaml").write_text(TEXT)
    (pipelines / "folder.yaml").mkdir()
    (pipelines / "gone.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipelines / "pipe.yaml")
    with (pipelines / "sparse.yaml").open("wb") as file:
        file.truncate(2**32)
    folder = Folder(tmp_path, actions(), Secrets({}))

    assert {file.path.stem: file.is_valid for file in folder.files} == {
        "folder": False,
        "gone": False,
        "p": True,
        "pipe": False,
        "sparse": False,
    }
    (too_large,) = [file for file in folder.files if file.path.stem == "sparse"]
    assert len(too_large.data) < 2**22
    assert "larger than 1024 KiB" in str(too_large.problems[0])
