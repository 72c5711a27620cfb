"""Checks steps, as far as their models cannot: actions and their inputs, names and their scope, secrets.

The checks walk the data, not the models, so that an invalid step does not hide the problems of others.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from pydantic import BaseModel

from durable.blocks.action import OF_CONNECTORS
from durable.blocks.core_actions import CORE_ACTIONS
from durable.expressions.expression import Expression, ExpressionError, shorten
from durable.expressions.template import Template
from durable.known_values import is_template
from durable.language.catalogue import Catalogue
from durable.language.connections import ConnectionChecker, inherit_connection
from durable.language.core_action_check import CoreActionCheck
from durable.language.expression_check import ExpressionCheck, anywhere
from durable.language.foreign import INPUT_HINTS
from durable.language.outputs import find_returned
from durable.language.report import Report
from durable.language.scope import RESERVED, SYNTAX, Scope
from durable.language.step_info import StepInfo
from durable.language.steps import SYNTAX_BY_KEY, SYNTAXES, find_key_problems, list_branches
from durable.language.validation import find_data_problems
from durable.model_shape import ModelShape, get_shape, walk_leaves
from durable.problem import Pointer
from durable.spec_model import Mapped, get_in, get_list, get_mapping
from durable.values import JSON
from durable.wording import quote

BESIDE = "put it next to 'use', not under 'with'"
NOTHING: Mapping[str, str] = {}
_BESIDE_CORE = {
    "timeout": "it finishes immediately; remove it",
    "keep": "its output is always kept whole; remove it",
    "on_timeout": "only wait.* accepts it; handle failures with 'try'",
}
"""What to do about keys of a step that its action does not accept."""

_BESIDE_USE = dict.fromkeys((SYNTAX_BY_KEY["use"].keys | {"if"}) - {"with"}, BESIDE)


def check_ids(what: str, named: Iterable[tuple[Mapped, Pointer]], report: Report) -> None:
    """Reject the second of two items with the same id."""
    lines: dict[str, int] = {}
    for owner, pointer in named:
        name = owner.get("id")
        if not isinstance(name, str):
            continue
        if name in lines:
            hint = f"the first is on line {lines[name]}; rename one"
            report.add((*pointer, "id"), f"a second {what} with the id {quote(name)}", hint)
        lines.setdefault(name, report.document.position((*pointer, "id"))[0])


def check_filled(owner: Mapped, pointer: Pointer, report: Report) -> None:
    """Reject keys without a value: an omitted key and an empty key must not look alike."""
    for key, value in owner.items():
        if value is None and key != "with":
            report.add((*pointer, key), f"{quote(key)} is empty", "give it a value, or remove it", is_key=True)


def check_given(
    model: type[BaseModel] | None,
    owner: Mapped,
    pointer: Pointer,
    *,
    scope: Scope,
    report: Report,
    expressions: ExpressionCheck,
    is_open: Callable[[object], bool] = is_template,
    beside: Mapping[str, str] = NOTHING,
) -> None:
    """Check the mapping under `with` against the model of the inputs, if it is known.

    `is_open`: the type of a value is known only when it is rendered.
    `beside`: hints for keys that belong next to `with`.
    """
    value, where = owner.get("with"), (*pointer, "with")
    if model is None:
        expressions.check_templates(value, where, scope, anywhere)
        return
    given = {} if value is None else value
    if isinstance(given, dict):
        for each in find_data_problems(
            model,
            given,
            is_open=is_open,
            context={"connection": owner.get("connection")},
            hints=INPUT_HINTS,
        ):
            hint = beside.get(str(each.pointer[0])) if each.is_key and len(each.pointer) == 1 else None
            is_key = each.is_key or not each.pointer
            report.add((*where, *each.pointer), each.message, hint or each.hint, is_key=is_key)
        _doubt_json(given, where, model, report)
    expressions.check_templates(given, where, scope, get_shape(model).is_secret)
    check_targets(given, where, get_shape(model), report, connection=owner.get("connection"))


def check_targets(given: JSON, pointer: Pointer, shape: ModelShape, report: Report, *, connection: JSON) -> None:
    """Warn if an expression determines which service gets a secret, or for what a connection is used."""
    texts = {where: text for where, text in walk_leaves(given) if isinstance(text, str)}
    if not connection and not any("{{" in text and "secrets" in text for text in texts.values()):
        return
    for where in shape.urls(given):
        for expression in _find_targets(texts[where]):
            if {name[0] for name in expression.names} <= {"run"}:
                continue
            there = report.document.position_in(
                (*pointer, *where), expression.position.line, expression.position.column
            )
            what = f"{quote(shorten(expression.source))} determines where a secret is sent"
            hint = "write the address without expressions: https://api.example.com/{{ … }}"
            if connection:
                what = f"{quote(shorten(expression.source))} determines what the connection's credentials are used for"
                hint = "begin with the path: /orders/{{ … }}"
            report.add((*pointer, *where), what, hint, place=there, severity="warning")


def _find_targets(text: str) -> Sequence[Expression]:
    try:
        return Template.parse(text, ((),)).targets
    except ExpressionError:  # reported elsewhere
        return ()


def _doubt_json(given: Mapped, pointer: Pointer, model: type[BaseModel], report: Report) -> None:
    """Warn about JSON inside a text where any data is accepted, since it is sent as text. A `body` may contain it."""
    for name, value in given.items():
        is_json = isinstance(value, str) and re.fullmatch(r"\s*(\{[^{].*\}|\[.*\])\s*", value, re.DOTALL) is not None
        if is_json and name != "body" and get_shape(model).is_anything((name,)):
            what = f"{quote(name)} is text here, not the data that is written in it"
            report.add((*pointer, name), what, "write it without quotes or '|'", severity="warning")


class StepCheck:
    """Checks the steps of a file in one pass."""

    def __init__(
        self,
        report: Report,
        catalogue: Catalogue,
        expressions: ExpressionCheck,
        infos: Mapping[Pointer, StepInfo],
        core: CoreActionCheck,
        connections: ConnectionChecker,
    ) -> None:
        self._report = report
        self._infos = infos
        self._catalogue = catalogue
        self._expressions = expressions
        self._core = core
        self._connections = connections

    def check_sequence(self, steps: JSON, pointer: Pointer, scope: Scope) -> None:
        """Check steps in order; each then becomes visible in the scope."""
        for index, step in enumerate(get_list(steps)):
            if isinstance(step, dict):
                self._check_step(step, (*pointer, index), scope)

    def _check_step(self, step: Mapped, pointer: Pointer, scope: Scope) -> None:
        here = scope.at(self._infos.get(pointer))
        check_filled(step, pointer, self._report)
        for key in chain.from_iterable(syntax.mapping_keys for syntax in SYNTAXES):
            check_filled(get_mapping(step.get(key)), (*pointer, key), self._report)
        self._report.add_all(find_key_problems(step.keys()), pointer)
        self._expressions.check_condition(step.get("if"), (*pointer, "if"), here)
        for items in (syntax.items for syntax in SYNTAXES if syntax.items):
            self._expressions.check_items(step.get(items), (*pointer, items), here)
        if isinstance(step.get("use"), str):
            self._check_use(step, pointer, here)
        inside = self._check_branches(step, pointer, here)
        scope.visible.update(inside)
        if isinstance(step.get("id"), str):
            scope.visible.add(str(step["id"]))

    # -- actions

    def _check_use(self, step: Mapped, pointer: Pointer, scope: Scope) -> None:
        use = str(step["use"])
        strange = self._find_misplaced_keys(use)
        for key in sorted(strange.keys() & step.keys()):
            what = f"{quote(key)} does not go with {quote(use)}"
            self._report.add((*pointer, key), what, strange[key], is_key=True)
        check_given(
            self._find_model(use, pointer),
            step,
            pointer,
            scope=scope,
            report=self._report,
            expressions=self._expressions,
            beside=_BESIDE_USE | strange,
        )
        if core := CORE_ACTIONS.get(use):
            self._core.check(core, step, pointer)
        else:
            self._connections.check(step, pointer)
            self._check_choice(step.get("connection"), (*pointer, "connection"), scope)
        with_output = scope.after(find_returned(use, get_mapping(step.get("with")), self._catalogue))
        self._expressions.check_templates(step.get("keep"), (*pointer, "keep"), with_output)
        if isinstance(get_mapping(step.get("on_timeout")).get("steps"), list):
            what, hint = "a mapping under 'on_timeout' is the step's output", "to perform steps, write the list itself"
            self._report.add((*pointer, "on_timeout"), what, hint, severity="warning")
        if not isinstance(step.get("on_timeout"), list):
            self._expressions.check_templates(step.get("on_timeout"), (*pointer, "on_timeout"), scope)
        undo = step.get("undo")
        if isinstance(undo, dict):
            self._check_undo(undo, step, (*pointer, "undo"), with_output)

    def _check_choice(self, connection: JSON, pointer: Pointer, scope: Scope) -> None:
        """Check the expression that chooses a connection."""
        name = get_in(connection, "name")
        if not isinstance(name, str):
            return
        self._expressions.check_templates(name, (*pointer, "name"), scope)
        if "{{" not in name:
            self._report.add(
                (*pointer, "name"), "the name has no expression, so nothing is chosen", f"write 'connection: {name}'"
            )

    def _find_misplaced_keys(self, use: str) -> dict[str, str]:
        """Return the keys that an action does not accept, and what to do about each."""
        core = CORE_ACTIONS.get(use)
        fitting = (
            core.syntax.keys if core else {"timeout", "keep", *(["on_timeout"] if use.startswith("wait.") else [])}
        )
        strange = {key: hint for key, hint in _BESIDE_CORE.items() if key not in fitting}
        return strange | (dict.fromkeys(OF_CONNECTORS, "it is allowed only with a connector's action") if core else {})

    def _check_undo(self, undo: Mapped, step: Mapped, pointer: Pointer, scope: Scope) -> None:
        use = undo.get("use")
        if not isinstance(use, str):
            return
        if use in CORE_ACTIONS:
            hint = "name the connector's action that reverses the effect"
            self._report.add((*pointer, "use"), f"{quote(use)} cannot undo a step", hint)
        connected = inherit_connection(undo, step)
        check_given(
            self._find_model(use, pointer),
            connected,
            pointer,
            scope=scope,
            report=self._report,
            expressions=self._expressions,
        )
        if connected is undo:
            self._connections.check(undo, pointer)

    def _find_model(self, use: str, pointer: Pointer) -> type[BaseModel] | None:
        model = self._catalogue.input_of(use)
        if model is None:
            problem = self._catalogue.explain_unknown(use)
            self._report.add((*pointer, "use"), *problem)
        return model

    # -- blocks

    def _check_branches(self, step: Mapped, pointer: Pointer, scope: Scope) -> set[str]:
        """Check the sequences inside a step; returns which of their steps can be read after it."""
        readable: dict[str, set[str]] = {}
        for branch in list_branches(step, pointer):
            if branch.is_loop:
                taken = RESERVED | SYNTAX | scope.roots
                for syntax in SYNTAXES:
                    self._report.add_all(syntax.check_names(step, taken), pointer)
            inside = scope.branch(*branch.adds, after=set().union(*(readable.get(each, ()) for each in branch.reads)))
            if branch.has_when:
                check_filled(branch.owner, branch.owner_pointer, self._report)
                self._expressions.check_condition(branch.owner.get("when"), (*branch.owner_pointer, "when"), inside)
            before = set(inside.visible)
            self.check_sequence(branch.steps, branch.pointer, inside)
            if branch.until:
                block, key = branch.until
                self._expressions.check_condition(
                    get_mapping(step.get(block)).get(key), (*pointer, *branch.until), inside
                )
            if not branch.is_loop:
                readable[branch.label] = inside.visible - before
        return set().union(*readable.values())
