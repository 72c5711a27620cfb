"""Samples for the suite: connections with canaries in place of credentials, and inputs and answers for an action."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import msgspec
from pydantic import ValidationError

from connectors.conformance.stub import StubAnswer, StubRequest
from connectors.conformance.world import NotApplicable, SampleConnection
from connectors.declared.compiled import DeclaredAction, PageRules, decode_action
from connectors.yaml_form.spec import ConnectorTestSpec
from durable.action import Action, Connector
from durable.connection_auth import AuthField, AuthUnfit, ConnectionAuth, add_auth_field
from durable.expressions.expression import Expression
from durable.expressions.template import Template
from durable.sample_values import make_sample_inputs, make_sample_value
from durable.values import JSON

CANARY = "canary-9d41f7c3b2"
"""A part of every sample credential."""

ELSEWHERE = "https://elsewhere.example"

_CANDIDATES: tuple[JSON, ...] = (None, True, False, "x", [{"message": "x"}], {"message": "x"}, 1, 0, "", [])
"""Values of a name with which a condition may hold, or not."""


# -- connections ------------------------------------------------------------------------------------------------


def make_connection(connector: Connector, fields: Mapping[str, JSON] | None = None) -> SampleConnection:
    """Make a sample connection: canaries for its secret fields, samples for the others that are required, and `fields`
    in their place. Raises `NotApplicable` if the connector does not accept that."""
    model = connector.connection
    if model is None:
        return SampleConnection(None, {}, frozenset(), connector.base_url)
    given, secrets = _make_fields(model.model_json_schema(), fields or {})
    if connector.takes_auth:
        model, secret = add_auth_field(model), f"{CANARY}-auth"
        given["auth"], secrets = {"bearer": secret}, secrets | {secret}
    try:
        made = model.model_validate(given)
        own = getattr(made, "auth", None)
        auth = own.settings if isinstance(own, AuthField) else ConnectionAuth.parse(connector.auth).choose(made)
    except (ValidationError, AuthUnfit) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise NotApplicable(f"no sample connection can be made ({why}): give a test a `connection`") from None
    return SampleConnection(made, auth, secrets, connector.base_url)


def _make_fields(schema: Mapping[str, Any], fields: Mapping[str, JSON]) -> tuple[dict[str, JSON], frozenset[str]]:
    given, secrets = make_sample_inputs(schema), set()
    for name, each in schema.get("properties", {}).items():
        if name in fields:
            given[name] = fields[name]
        elif each.get("secret") and not each.get("url"):
            given[name] = f"{CANARY}-{name}"
        if each.get("secret") and isinstance(value := given.get(name), str) and not each.get("url"):
            secrets.add(value)
    return given, frozenset(secrets)


# -- actions ----------------------------------------------------------------------------------------------------


class ActionSample:
    """An action with inputs and answers that fit it. `siblings` are the tests of the connector, `tests` those of
    the action."""

    def __init__(self, connector: Connector, action: Action, tests: Sequence[ConnectorTestSpec]) -> None:
        self.action = action
        self.siblings = tests
        self.tests = [test for test in tests if test.action == action.name]
        self.declared: DeclaredAction | None = decode_action(action.stored) if action.stored is not None else None
        self.is_made_up = not self.tests
        """Whether the action has no tests."""

    def make_inputs(self) -> dict[str, JSON]:
        """Return inputs that the action accepts; raises `NotApplicable`."""
        given = self.tests[0].with_ if self.tests else make_sample_inputs(self.action.input.model_json_schema())
        try:
            self.action.input.model_validate(given)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            why = f"{place}: {error.errors()[0]['msg']}" if place else error.errors()[0]["msg"]
            raise NotApplicable(f"no sample inputs can be made ({why}): add a test of the action") from None
        return dict(given)

    def make_success(self) -> list[StubAnswer]:
        """Return the answers of a service that does what it is asked."""
        for test in self.tests:
            if test.expect.error is None:
                return list_answers(test)
        if self.declared and self.declared.page:
            return [self.make_page(0, 1)]
        return [StubAnswer.of(self.make_body() if self.declared else {})]

    # -- answers of a declarative action

    def make_body(self) -> JSON:
        """Return a body of which the action can make its output."""
        assert self.declared
        body: JSON = {}
        if _reads_whole_body(self.declared.output) and self.declared.returns:
            body = make_sample_value(self.declared.returns, "body")
        returns = self.declared.returns or {}
        schemas = returns.get("properties", {})
        written = self.declared.output if isinstance(self.declared.output, dict) else {"": self.declared.output}
        for key, text in written.items():
            for name in sorted(Template.parse(text).names):
                if name[:2] == ("answer", "body"):
                    body = put(body, name[2:], make_sample_value(schemas.get(key), name[-1]))
        for name in self._list_undo_names():
            body = put(body, name, make_sample_value(None, name[-1]))
        return settle(self.declared.errors.when, body, is_true=False)

    def _list_undo_names(self) -> list[tuple[str, ...]]:
        """The parts of the body that the undo reads, if the output is the body."""
        if not self.action.undo or not self.declared or not _reads_whole_body(self.declared.output):
            return []
        return [name[1:] for name in Template.parse(dict(self.action.undo.given)).names if name[0] == "output"]

    def make_error_within_success(self) -> StubAnswer | None:
        """Return an answer with the status 200 that is an error; None if the action knows none."""
        if self.declared is None or self.declared.errors.when is None:
            return None
        body = settle(self.declared.errors.when, {}, is_true=True)
        return StubAnswer.of(body) if holds(self.declared.errors.when, body) else None

    def make_gone(self) -> StubAnswer:
        """Return the answer to a request for something that no longer exists."""
        errors = self.declared.errors if self.declared else None
        code = next((each for each in errors.ok if not each.isdigit()), None) if errors else None
        status = next((int(each) for each in errors.ok if each.isdigit()), 404) if errors else 404
        body: JSON = {}
        if code and errors and errors.code:
            names = [name for name in sorted(Template.parse(errors.code).names) if name[:2] == ("answer", "body")]
            body = put({}, names[0][2:], code) if names else {}
        return StubAnswer.of(body, status)

    # -- pages

    @property
    def pages(self) -> PageRules | None:
        return self.declared.page if self.declared else None

    def make_page(self, number: int, count: int) -> StubAnswer:
        """Return page `number`, from 0, of `count` pages."""
        rules, is_last = self.pages, number + 1 == count
        assert rules
        assert self.declared
        size = rules.size.value if rules.size and (rules.offset or rules.number) else 2
        length = size - 1 if is_last and size > 1 else size
        if is_last and rules.size is None and (rules.offset or rules.number) and rules.more is None:
            length = 0
        items = [self._make_item(f"{number}-{each}") for each in range(length)]
        body = put(None, _find_body_name(rules.items), items)
        headers: dict[str, str] = {}
        if not is_last:
            body = self._put_next(body, headers, f"cursor-{number + 1}", f"/next?page={number + 2}", rules)
        if rules.more is not None:
            body = settle(rules.more, body, is_true=not is_last, more={"items": items})
        return StubAnswer.of(settle(self.declared.errors.when, body, is_true=False), headers=headers)

    def read_items(self, page: StubAnswer) -> list[JSON]:
        """Return the items of a page that was made."""
        assert self.pages
        body = msgspec.json.decode(page.body)
        for name in _find_body_name(self.pages.items):
            body = body[name]
        assert isinstance(body, list)
        return body

    def make_page_elsewhere(self) -> StubAnswer | None:
        """Return a first page whose next page is at another host; None if no URL leads to the next page."""
        rules = self.pages
        if rules is None or (rules.link is None and rules.next is None):
            return None
        headers: dict[str, str] = {}
        body = put(None, _find_body_name(rules.items), [self._make_item("0")])
        body = self._put_next(body, headers, "", f"{ELSEWHERE}/next?page=2", rules)
        if rules.more is not None:
            body = settle(rules.more, body, is_true=True)
        return StubAnswer.of(body, headers=headers)

    def _put_next(self, body: JSON, headers: dict[str, str], cursor: str, url: str, rules: PageRules) -> JSON:
        """Put where the next page begins into a body or the headers."""
        if rules.link is not None:
            headers["link"] = f'<{url}>; rel="{rules.link}"'
        expression = rules.next or rules.cursor
        if expression is None:
            return body
        name = next((name for name in sorted(Expression.parse(expression).names) if name[0] == "answer"), ())
        value = url if rules.next else cursor
        if name[:2] == ("answer", "headers"):
            headers[name[2]] = value
            return body
        return put(body, name[2:], value) if name else body

    def _make_item(self, mark: str) -> JSON:
        """Return an item of a list, different from all others."""
        rules, returns = self.pages, self.declared.returns if self.declared else None
        schema = returns.get("items") if isinstance(returns, Mapping) else None
        item = make_sample_value(schema, "item") if schema else {}
        if not isinstance(item, dict):
            return f"item-{mark}" if isinstance(item, str) else item
        names = Expression.parse(rules.cursor).names if rules and rules.cursor else frozenset()
        made: JSON = put(item, ("id",), f"item-{mark}") if isinstance(item.get("id", ""), str) else item
        for name in names:
            if name[0] == "items" and name[2:]:
                made = put(made, name[2:], f"item-{mark}")
        return made


def list_answers(test: ConnectorTestSpec) -> list[StubAnswer]:
    """The answers that a test gives, in order."""
    listed = test.answer if isinstance(test.answer, tuple) else (test.answer,)
    return [StubAnswer.of(each.body, each.status, each.headers) for each in listed]


def play_in_order(answers: Sequence[StubAnswer]) -> Any:
    """Answer with these in order, and with the last one from then on."""

    def respond(request: StubRequest, number: int) -> StubAnswer:
        return answers[min(number, len(answers) - 1)]

    return respond


# -- bodies -----------------------------------------------------------------------------------------------------


def _reads_whole_body(output: Any) -> bool:
    return isinstance(output, str) and Template.parse(output).names == {("answer", "body")}


def _find_body_name(expression: str) -> tuple[str, ...]:
    """The place in the body that an expression reads."""
    names = sorted(name for name in Expression.parse(expression).names if name[:2] == ("answer", "body"))
    return names[0][2:] if names else ()


def put(value: JSON, name: Sequence[str], part: JSON) -> JSON:
    """Return a copy of the value with a part at this place."""
    if not name:
        return part
    key, *rest = name
    known: dict[str, JSON] = dict(value) if isinstance(value, dict) else {}
    return {**known, key: put(known.get(key), rest, part)}


def holds(condition: str, body: JSON, more: Mapping[str, JSON] | None = None) -> bool:
    """Whether a condition holds for an answer with this body."""
    answer = {"status": 200, "headers": {}, "body": body}
    return bool(Expression.parse(condition).evaluate_leniently({"answer": answer, "inputs": {}, **(more or {})}))


def settle(condition: str | None, body: JSON, *, is_true: bool, more: Mapping[str, JSON] | None = None) -> JSON:
    """Return the body, changed so that a condition holds, or does not, where a change of one value suffices."""
    if condition is None or holds(condition, body, more) == is_true:
        return body
    for name in sorted(Expression.parse(condition).names):
        for value in _CANDIDATES if name[:2] == ("answer", "body") and name[2:] else ():
            changed = put(deepcopy(body), name[2:], value)
            if holds(condition, changed, more) == is_true:
                return changed
    return body
