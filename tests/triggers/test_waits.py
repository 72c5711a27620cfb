"""The parts of waits in isolation: form values, the validation of answers, masked links."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from durable.history.entries import RunStarted, StepScheduled, WaitStarted
from durable.history.state import State
from durable.history.words import Await, Links
from durable.journal.scan import Scan
from durable.links import hide_links, make_link, make_proof
from durable.replay import replay_entries
from durable.values import JSON, Value, encode
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.history import make_entry
from triggers.waits import answer, page, proofs
from triggers.waits.form import build_form, read_form
from triggers.waits.question import Question, find_questions

RUN = "run_" + "0" * 26
HERE = "https://here.example/waits"
LINKS = Links("https://x.example/waits", "k" * 32)
SCHEMAS: dict[str, JSON] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole": {"type": "integer", "default": 2},
    "yes": {"type": "boolean"},
    "choice": {"enum": ["a", 1, None, {"b": 2}]},
    "any": {},
    "odd": {"type": ["string", "null"]},
    "broken": {"type": 7},
    "none": "no schema",
}


def _state() -> State:
    asked: JSON = {"to": "ops", "title": "Ship it?", "fields": {"n": {"type": "integer"}}}
    delay: JSON = {"use": "wait.delay", "with": {"for": "1m"}}
    waits: JSON = {"waits": {"a": {"use": "wait.approval", "with": asked}, "t": delay}}
    awaits = (Await("approval", "a"), Await("delay", "t", due=60_000))
    return replay_entries(
        RUN,
        [
            RunStarted(at=0, pipeline="p", version="v", deadline=10**9, links=LINKS),
            StepScheduled(at=0, path="each[1].ask", input=Value.of(waits)),
            WaitStarted(at=0, path="each[1].ask", awaits=awaits, due=60_000),
        ],
    )


# -- questions --------------------------------------------------------------------------------------------------


def test_each_wait_of_a_run_has_its_own_link() -> None:
    state = _state()
    first, second = find_questions(state)
    assert (first.path, first.title, first.to, first.due) == ("each[1].ask.a", "Ship it?", ("ops",), 60_000)
    assert first.link(RUN, state.started, HERE) == make_link(HERE, LINKS.key, RUN, "each[1].ask.a")
    assert (second.kind, second.due, second.link(RUN, state.started, HERE)) == ("delay", 60_000, None)


def test_a_history_line_describes_its_waits_without_keys() -> None:
    state = _state()
    assert state.started
    with create_engine("sqlite://").connect() as connection:
        encoder = DocumentEncoder(Scan(connection), RUN, may_answer=True)
    assert "links" not in make_entry(1, state.started, encoder)
    wait = WaitStarted(at=0, path="x", awaits=(Await("event", "", type="t", match="m", since=0),))
    assert dict(make_entry(2, wait, encoder))["awaits"] == [
        {"kind": "event", "type": "t", "match": "m", "since": "1970-01-01T00:00:00.000Z"}
    ]


# -- forms ------------------------------------------------------------------------------------------------------


def test_form_fields_are_converted_to_the_types_of_their_schema() -> None:
    sent: dict[str, JSON] = {
        "fields.text": "12",
        "fields.number": "1e3",
        "fields.whole": "7",
        "fields.choice": "1",
        "fields.any": '{"a": [1]}',
        "fields.odd": "free text",
        "fields.none": "x",
    }
    assert read_form(SCHEMAS, sent) == {
        "text": "12",
        "number": 1000.0,
        "whole": 7,
        "choice": 1,
        "any": {"a": [1]},
        "odd": "free text",
        "none": "x",
        "yes": False,
    }


def test_a_field_that_is_not_a_number_stays_text_and_an_empty_field_is_omitted() -> None:
    sent: dict[str, JSON] = {"fields.number": "0x10", "fields.whole": "", "fields.yes": "true", "fields.nobody": ""}
    assert read_form(SCHEMAS, sent) == {"number": "0x10", "yes": True, "nobody": ""}


@given(st.dictionaries(st.sampled_from([f"fields.{name}" for name in SCHEMAS]), st.text() | st.lists(st.text())))
def test_any_form_input_becomes_json_and_can_be_shown_again(sent: dict[str, Any]) -> None:
    filled = read_form(SCHEMAS, sent)
    encode(dict(filled))
    question = Question("ask", "", "approval", title="<script>alert(1)</script>", fields=SCHEMAS)
    shown = page.render_question(question, filled=filled, comment="</textarea><script>")
    assert "<script" not in shown
    assert len(build_form(SCHEMAS, filled)) == len(SCHEMAS)


def test_a_selected_choice_stays_selected() -> None:
    question = Question("ask", "", "approval", fields={"c": {"enum": ["a", 1]}})
    assert re.search(r'<option value="1" selected>', page.render_question(question, filled={"c": 1}))


# -- answers ----------------------------------------------------------------------------------------------------


def _approval(schemas: dict[str, JSON], approved: bool, **fields: JSON) -> dict[str, JSON]:
    return answer.build_approval(schemas, approved=approved, by="x", comment=None, fields=fields, at=1)


def test_every_schema_violation_is_reported() -> None:
    with pytest.raises(answer.AnswerRefused) as caught:
        _approval({"n": {"type": "integer"}, "m": {"maxLength": 1}, "o": {}}, True, n="x", m="xy", p=1)
    assert [misfit.name for misfit in caught.value.problems] == ["fields.p", "fields.n", "fields.m", "fields.o"]


def test_an_invalid_schema_accepts_anything_because_the_run_is_already_waiting() -> None:
    result = _approval(
        {"broken": {"type": 7}, "none": "x", "away": {"$ref": "http://x/"}}, True, broken=1, none=2, away=3
    )
    assert result["fields"] == {"broken": 1, "none": 2, "away": 3}


def test_defaults_fill_in_what_an_approval_omits() -> None:
    schemas: dict[str, JSON] = {"n": {"default": 3}, "m": {}}
    assert _approval(schemas, True, m=1)["fields"] == {"n": 3, "m": 1}
    assert _approval(schemas, False)["fields"] == {}


# -- links ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["ask", "each[12].ask", "pick.one"])
@pytest.mark.parametrize("form", ["{}", "go to {}, please", '<a href="{}">', "{}?x=1"])
def test_a_link_is_masked_wherever_it_appears(path: str, form: str) -> None:
    plain = make_link(LINKS.url, LINKS.key, RUN, path)
    for written in (plain, quote(plain), quote(plain, safe="")):
        text = form.format(written)
        document: dict[str, Any] = {"a": [text, 1], "b": None}
        result = hide_links(document)
        assert make_proof(LINKS.key, RUN, path) not in json.dumps(result)
        [told_again, one] = result["a"]
        assert (one, len(str(told_again))) == (1, len(text) - 63)
        other = proofs.replace_proofs(json.dumps(text).encode())
        assert len(other) == len(json.dumps(text).encode())
        stand_in = make_link(LINKS.url, proofs.STAND_IN, RUN, path)
        assert make_proof(proofs.STAND_IN, RUN, path).encode() in other
        assert written != plain or stand_in.encode() in other


def test_text_that_is_not_a_link_stays_unchanged() -> None:
    for text in ("", RUN, f"{RUN}/ask", f"{RUN}/ask/abc", "run_x/y/" + "0" * 32):
        assert hide_links({"a": text}) == {"a": text}


def test_masking_a_text_full_of_partial_links_is_cheap() -> None:
    import time

    took = []
    for size in (2_000, 16_000):
        text = f"{RUN}%2F" * size
        began = time.process_time()
        hide_links({"a": text})
        took.append(time.process_time() - began)
    assert took[1] < took[0] * 8 * 3
