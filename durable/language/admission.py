"""What the shape of a file cannot tell of a run's beginning: its triggers, the schemas of its inputs."""

import re
from collections.abc import Collection
from dataclasses import replace

from durable.action import TriggerInputs
from durable.language.braces import is_whole_expression
from durable.language.catalogue import Catalogue
from durable.language.check import BESIDE, check_filled, check_given
from durable.language.cures import TRIGGERS
from durable.language.document import Pointer
from durable.language.findings import Findings
from durable.language.headers import CREDENTIALS
from durable.language.names import Scope
from durable.language.problem import quoted, suggestion
from durable.language.schemas import schemas, short
from durable.language.texts import Texts, has_template
from durable.language.tree import Mapped, listed, mapped
from durable.schema import Schema
from durable.values import JSON

_FOREIGN_PARAMETER = re.compile(r"(?<=/)(:\w+|<[^/]+>|\[\w+\]|\*+)(?=/|$)")
"""What other routers take for a part that varies: `/:id`, `/<id>`, `/[id]`, `/*`."""


class AdmissionCheck:
    """One pass over `inputs` and `triggers`."""

    def __init__(self, data: Mapped, findings: Findings, catalogue: Catalogue, texts: Texts) -> None:
        self._triggers = listed(data.get("triggers"))
        self._declared = data.get("inputs")
        self._findings = findings
        self._catalogue = catalogue
        self._texts = texts

    def run(self, scope: Scope) -> None:
        """Check them; `scope` is what a trigger's expressions may read."""
        declared = dict(schemas(mapped(self._declared), ("inputs",), self._findings, may_be_open=False))
        for name, schema in declared.items():
            self._default(schema, name)
        for index, trigger in enumerate(self._triggers):
            if isinstance(trigger, dict):
                self._trigger(trigger, ("triggers", index), scope)
                self._inputs(trigger, ("triggers", index, "inputs"), declared)

    def _default(self, schema: Schema, name: str) -> None:
        written = mapped(mapped(self._declared)[name])
        for place, message in schema.misfits(written["default"]) if "default" in written else ():
            what = f"the default of the input {quoted(name)} does not fit its schema: {short(message)}"
            self._findings.add(("inputs", name, "default", *place), what, "change the one or the other")

    def _trigger(self, trigger: Mapped, pointer: Pointer, scope: Scope) -> None:
        use = trigger.get("use")
        model = self._catalogue.triggers.get(use) if isinstance(use, str) else None
        scope = replace(scope, parameters=_parameters(trigger))
        if model and issubclass(model, TriggerInputs):
            withheld = CREDENTIALS | model.withheld_headers(mapped(trigger.get("with")))
            scope = replace(scope, arrival=model.arrival, withheld=withheld)
        check_filled(trigger, pointer, self._findings)
        if isinstance(use, str) and model is None:
            hint = TRIGGERS.get(use.lower()) or suggestion(use, self._catalogue.triggers)
            self._findings.add((*pointer, "use"), f"there is no kind of trigger {quoted(use)}", hint)
        check_given(
            model,
            trigger,
            pointer,
            scope=scope,
            findings=self._findings,
            texts=self._texts,
            is_open=lambda value: False,  # a trigger is set up before anything arrives that could be rendered
            beside={"when": BESIDE, "inputs": BESIDE},
        )
        path = mapped(trigger.get("with")).get("path")
        if use == "webhook" and isinstance(path, str) and f"{path}/".startswith("/hooks/"):
            what = f"the webhook is served at /hooks{path}: paths are relative to /hooks"
            hint = f"write {path.removeprefix('/hooks') or '/…'}, unless this is intended"
            self._findings.add((*pointer, "with", "path"), what, hint, severity="warning")
        elif use == "webhook" and isinstance(path, str) and (literal := _FOREIGN_PARAMETER.search(path)):
            what, hint = f"{quoted(literal[0])} is text in this path", "a part that varies is written as {name}"
            self._findings.add((*pointer, "with", "path"), what, hint, severity="warning")
        self._check_dedupe_key(mapped(mapped(trigger.get("with")).get("dedupe")).get("key"), pointer, scope)
        self._texts.condition(trigger.get("when"), (*pointer, "when"), scope)
        self._texts.templates(trigger.get("inputs"), (*pointer, "inputs"), scope)

    def _check_dedupe_key(self, key: JSON, trigger: Pointer, scope: Scope) -> None:
        """Doubt a key that every delivery has; an empty one would reject them all."""
        pointer = (*trigger, "with", "dedupe", "key")
        cure = 'write an expression, such as "{{ trigger.body.id }}"'
        if key == "":
            self._findings.add(pointer, "'key' is empty", cure)
        elif isinstance(key, str) and not has_template(key):
            effect = "all deliveries count as one"
            if not self._texts.constant(key, pointer, scope, effect):
                what = f"{quoted(key)} is the same for every delivery, so that {effect}"
                self._findings.add(pointer, what, cure, severity="warning")

    def _inputs(self, trigger: Mapped, pointer: Pointer, schemas: dict[str, Schema]) -> None:
        if not isinstance(self._declared, dict):
            return
        given = mapped(trigger.get("inputs"))
        for name, value in given.items():
            if name not in self._declared:
                hint = suggestion(name, self._declared) or "declare it under 'inputs'"
                self._findings.add((*pointer, name), f"the pipeline has no input {quoted(name)}", hint, is_key=True)
            elif name in schemas and not has_template(value):
                self._fit(schemas[name], name, value, pointer)
            elif isinstance(value, str) and not is_whole_expression(value):
                self._fit_text(mapped(self._declared[name]).get("type"), name, pointer)
        for name, schema in self._declared.items():
            if name not in given and "default" not in mapped(schema):
                what = f"the trigger does not give the input {quoted(name)}"
                self._findings.add(pointer, what, "add it, or declare a default for it", is_key=True)

    def _fit_text(self, types: JSON, name: str, pointer: Pointer) -> None:
        """A text with an expression in it stays a text, whatever the expression gives."""
        named = [each for each in (types if isinstance(types, list) else [types]) if isinstance(each, str)]
        if named and "string" not in named:
            what = f"this is a text, and the input {quoted(name)} is of type {' or '.join(named)}"
            cure = "write one '{{ … }}' alone, or YAML with expressions in it, without quotes around the whole"
            self._findings.add((*pointer, name), what, cure)

    def _fit(self, schema: Schema, name: str, value: JSON, pointer: Pointer) -> None:
        for place, message in schema.misfits(value):
            what = f"this does not fit the input {quoted(name)}: {short(message)}"
            self._findings.add((*pointer, name, *place), what, "see its schema under 'inputs'")


def _parameters(trigger: Mapped) -> Collection[str] | None:
    """The names that a webhook's path takes parts of it by; None where nobody knows."""
    path = mapped(trigger.get("with")).get("path")
    if trigger.get("use") != "webhook" or not isinstance(path, str) or has_template(path):
        return None
    return set(re.findall(r"\{([a-zA-Z_]\w*)(?::\w+)?\}", path))
