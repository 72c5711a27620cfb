"""The config folder: what is read is served when the journal has it, and not before."""

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
