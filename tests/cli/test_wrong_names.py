"""Names and ids that are wrong: the message says what they are, or what there is instead."""

from pathlib import Path

import pytest

from tests.cli.command import api, serving, waypost
from tests.cli.conftest import write

FAILS = """
inputs: {order: {type: string}}
steps: [{id: check, use: flow.fail, with: {message: "{{ inputs.order }} is too old", code: too_old}}]
"""

DELIVERY, RUN, EVENT = (f"{prefix}_{'0' * 26}" for prefix in ("dlv", "run", "evt"))


@pytest.mark.slow
def test_a_wrong_name_is_an_error_that_says_what_is_meant(place: Path) -> None:
    write(place, "fails", FAILS)
    with serving(place):
        with api(place) as asked:
            asked.post("/hooks/greet", json={"name": "Ada"})
            asked.post("/hooks/nowhere", json={"name": "Ada"})
        assert waypost("run", "fails", "--input", "order=o-1", cwd=place).returncode == 1
        (line,) = [line for line in waypost("errors", cwd=place).stdout.splitlines() if "too old" in line]
        key = line.split()[0]
        (place / "body.json").write_text('{"kind": "new", "user": 7}')
        cases: list[tuple[str, list[str], str]] = [
            ("a webhook without its trigger", ["deliveries", "--trigger", "greet"], "PIPELINE/TRIGGER: greet/greet"),
            ("an unknown webhook", ["deliveries", "--trigger", "nosuch/x"], "there is no webhook 'nosuch/x'"),
            (
                "a webhook of a bulk",
                ["replay", "--all", "--outcome", "rejected", "--webhook", "greet", "--yes"],
                "PIPELINE/TRIGGER: greet/greet",
            ),
            ("a short version", ["versions", "greet", "af"], "give 4 or more characters of its beginning"),
            ("no version", ["versions", "greet", "zzzzz"], "`waypost versions greet` lists them"),
            ("an unknown error", ["runs", "--error", "zzzz"], "`waypost errors` lists them"),
            ("an unknown error of a bulk", ["retry", "--all", "--error", "zzzz", "--yes"], "begins with 'zzzz'"),
            ("a delivery as a run", ["show", DELIVERY], f"`waypost delivery {DELIVERY}` shows it"),
            ("a run as a delivery", ["delivery", RUN], f"`waypost show {RUN}` shows it"),
            ("an event as a run", ["retry", EVENT], f"`waypost runs --event {EVENT}` shows it"),
            ("a run to replay", ["replay", RUN], "is the id of a run"),
            ("a delivery as an event", ["runs", "--event", DELIVERY], "is the id of a delivery"),
            ("a text as an event", ["runs", "--event", "x y"], "'x y' is not the id of an event"),
            ("an unknown bulk", ["bulk", "show", "zzzz"], "`waypost bulk list` lists them"),
            ("a pipeline without a trigger", ["run", "fails", "--trigger", "body.json"], "fails has no trigger"),
            ("a body as a document", ["run", "greet", "--trigger", "body.json"], "what was sent belongs below `body`"),
            ("a misspelt input", ["run", "greet", "--input", "nam=Ada"], "did you mean 'name'"),
            (
                "a part of an input",
                ["fork", "latest", "--step", "check", "--set", "message.x=1"],
                "`set` gives a whole",
            ),
            ("an address", ["send", "none", "body.json", "--to", "http://127.0.0.1/hooks/greet"], "path below /hooks"),
        ]
        wrong = {}
        for what, command, expected in cases:
            found = waypost(*command, cwd=place)
            if found.returncode == 0 or expected not in found.stderr:
                wrong[what] = found.stderr or found.stdout
        assert wrong == {}
        listen = waypost("listen", "--pipeline", "nosuch", cwd=place)
        assert "listening at" not in listen.stderr
        assert "there is no pipeline 'nosuch'" in listen.stderr
        assert "too old" in waypost("runs", "--error", key[:5], cwd=place).stdout
        assert "let the sender deliver them again" in waypost("deliveries", "--unknown", cwd=place).stdout
