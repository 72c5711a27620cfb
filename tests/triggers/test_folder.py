"""The config folder: files are put into service only after the journal has stored them."""

import os
from pathlib import Path

import pytest

from durable.secrets import Secrets
from triggers.config.catalogue import load_connectors
from triggers.config.folder import Folder

TEXT = "triggers: [{id: e, use: event, with: {type: t}}]\nsteps: [{id: a, use: log.write, with: {message: x}}]\n"


def test_files_that_were_read_are_served_only_after_serve_is_called(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    file = tmp_path / "pipelines" / "p.yaml"
    file.write_text(TEXT)
    folder = Folder(tmp_path, load_connectors(), Secrets({}))
    before = folder.definition("p")
    file.write_text(TEXT.replace("message: x", "message: y"))

    read = folder.read()
    assert folder.definition("p") is before
    assert [each.name for each in folder.serve(read)] == ["p"]
    assert folder.definition("p") not in (None, before)
    assert folder.serve(folder.read()) == []


def test_a_special_or_oversized_file_is_not_read_and_disables_only_itself(tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines"
    pipelines.mkdir()
    (pipelines / "p.yaml").write_text(TEXT)
    (pipelines / "folder.yaml").mkdir()
    (pipelines / "gone.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipelines / "pipe.yaml")
    with (pipelines / "sparse.yaml").open("wb") as file:
        file.truncate(2**32)
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

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


def write(folder: Path, *names: str, text: str = TEXT) -> None:
    """Write pipeline files with these names, which may contain folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_dotfile_is_not_read_and_disables_nothing(tmp_path: Path) -> None:
    write(tmp_path / "pipelines", "._one.yaml", ".one.tmp.yaml", ".one.yml", "one.yaml", text=f"id: one\n{TEXT}")
    (tmp_path / "pipelines" / ".#one.yaml").symlink_to("somebody@a.machine.4711")
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

    assert [(file.path.name, file.is_valid) for file in folder.files] == [("one.yaml", True)]
    assert [str(problem).removeprefix(f"{tmp_path}/pipelines/") for problem in folder.unread.problems] == [
        f"{name}:1:1: warning: the file is not read: its name begins with a dot; rename it, or remove it"
        for name in (".#one.yaml", "._one.yaml", ".one.tmp.yaml", ".one.yml")
    ]


def test_a_copy_does_not_disable_the_file_named_after_the_pipeline(tmp_path: Path) -> None:
    write(tmp_path / "pipelines", "copy of one.yaml", "one.yaml", "one_old.yaml", text=f"id: one\n{TEXT}")
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

    assert [(file.path.name, file.is_valid) for file in folder.files] == [
        ("copy of one.yaml", False),
        ("one.yaml", True),
        ("one_old.yaml", False),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pipelines/Upper.YAML", "the file is not read: its name ends in .YAML; rename it to Upper.yaml"),
        ("pipelines/one.Yml", "the file is not read: its name ends in .Yml; rename it to one.yml"),
        (
            "pipelines/one.yaml~",
            "the file is not read: its name does not end in .yaml; remove it if it is a copy; or rename it",
        ),
        (
            "pipelines/#one.yaml#",
            "the file is not read: its name does not end in .yaml; remove it if it is a copy; or rename it",
        ),
        (
            "pipelines/one.yaml.bak",
            "the file is not read: its name does not end in .yaml; remove it if it is a copy; or rename it",
        ),
        ("pipelines/.one.yaml.swp", "the file is not read: its name begins with a dot; rename it, or remove it"),
        ("pipelines/one.json", "the file is not read: pipelines end in .yaml; rename it to one.yaml if it is one"),
        (
            "pipelines/team/one.yaml",
            "the folder is not read, but it contains one.yaml; move its files into …/pipelines",
        ),
        ("one.yaml", "the file is not read: pipelines belong in …/pipelines; move it there"),
        (
            "connections.yml",
            "the file is not read: connections belong in connections.yaml; move its contents to connections.yaml",
        ),
        (
            "settings.yaml",
            "the file is not read: settings belong in settings.toml; move its contents to settings.toml",
        ),
    ],
)
def test_a_file_that_was_probably_meant_to_be_read_is_reported(tmp_path: Path, name: str, expected: str) -> None:
    write(tmp_path, "pipelines/p.yaml", name)
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

    (problem,) = folder.unread.problems
    assert f"{problem.message}; {problem.hint}".replace(str(tmp_path), "…") == expected
    assert [file.path.name for file in folder.files] == ["p.yaml"]


@pytest.mark.parametrize(
    "name",
    ["pipelines/README.md", "pipelines/.gitkeep", "pipelines/..data/one.yaml", "prices.yaml", "pipelines/notes/a.txt"],
)
def test_files_that_are_not_pipelines_are_not_reported(tmp_path: Path, name: str) -> None:
    write(tmp_path, "pipelines/p.yaml")
    write(tmp_path, name, text="prices: {}\n")
    assert Folder(tmp_path, load_connectors(), Secrets({})).unread.problems == ()


def test_a_symlink_to_a_file_elsewhere_is_read(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/p.yaml")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "linked.yml").symlink_to(tmp_path / "elsewhere" / "p.yaml")
    assert [file.name for file in Folder(tmp_path, load_connectors(), Secrets({})).files] == ["linked"]


# -- calls of other pipelines ---------------------------------------------------------------------------------------

CALLS = "steps: [{{id: a, use: flow.call, with: {{pipeline: {}}}}}]\n"
NOWHERE = "1:50: error: there is no pipeline 'wellcome'; did you mean 'welcome'"


def _problems(folder: Folder) -> dict[str, list[str]]:
    return {
        file.path.stem: [str(each).removeprefix(f"{file.path}:") for each in file.problems] for file in folder.files
    }


def test_a_call_of_an_unknown_pipeline_is_an_error_and_of_one_read_later_is_not(
    tmp_path: Path,
) -> None:
    write(tmp_path / "pipelines", "welcome.yaml")
    write(tmp_path / "pipelines", "b.yaml", text=CALLS.format("wellcome"))
    write(tmp_path / "pipelines", "a.yaml", text=CALLS.format("welcome"))
    write(tmp_path / "pipelines", "own.yaml", text=CALLS.format("own").replace("id: a", "id: a, if: run.id"))
    write(tmp_path / "pipelines", "made.yaml", text=CALLS.format("'{{ inputs.name }}'"))
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

    assert _problems(folder) == {"a": [], "b": [NOWHERE], "made": [], "own": [], "welcome": []}
    assert folder.definition("b") is None


@pytest.mark.parametrize("broken", ["id: welcome\nsteps: []\n", "id: welcome\nsteps: [{"])
def test_a_call_of_a_pipeline_with_a_broken_file_is_not_an_error(tmp_path: Path, broken: str) -> None:
    write(tmp_path / "pipelines", "other.yaml", text=broken)
    write(tmp_path / "pipelines", "a.yaml", text=CALLS.format("welcome"))
    folder = Folder(tmp_path, load_connectors(), Secrets({}))

    assert [file.is_valid for file in folder.files] == [True, False]


def test_a_caller_of_a_removed_pipeline_gets_an_error_and_stays_in_service(tmp_path: Path) -> None:
    write(tmp_path / "pipelines", "welcome.yaml")
    write(tmp_path / "pipelines", "a.yaml", text=CALLS.format("welcome"))
    folder = Folder(tmp_path, load_connectors(), Secrets({}))
    served = folder.definition("a")
    text = (tmp_path / "pipelines" / "welcome.yaml").read_text()
    (tmp_path / "pipelines" / "welcome.yaml").unlink()

    assert {file.path.stem for file in folder.serve(folder.read())} == {"a", "welcome"}
    assert _problems(folder) == {"a": ["1:50: error: there is no pipeline 'welcome'; known: a"]}
    assert folder.definition("a") is served
    assert [file.is_valid for file in folder.files] == [False]
    assert folder.serve(folder.read()) == []
    write(tmp_path / "pipelines", "welcome.yaml", text=text)
    assert {file.path.stem for file in folder.serve(folder.read())} == {"a", "welcome"}
    assert _problems(folder) == {"a": [], "welcome": []}
    assert folder.definition("a") is served
