"""Checks `triggers` and `inputs`, as far as their models cannot."""

from dataclasses import replace

from durable.known_values import has_template
from durable.language.braces import is_whole_expression
from durable.language.catalogue import Catalogue
from durable.language.expression_check import ExpressionCheck
from durable.language.foreign import TRIGGERS
from durable.language.headers import CREDENTIALS
from durable.language.json_schemas import compile_schemas, shorten
from durable.language.report import Report
from durable.language.scope import Scope
from durable.language.step_check import BESIDE, check_filled, check_given
from durable.problem import Pointer
from durable.schema import CompiledSchema
from durable.spec_model import Mapped, get_in, get_list, get_mapping
from durable.values import JSON
from durable.wording import quote, suggest


class TriggerCheck:
    """Checks `inputs` and `triggers`."""

    def __init__(self, data: Mapped, report: Report, catalogue: Catalogue, expressions: ExpressionCheck) -> None:
        self._triggers = get_list(data.get("triggers"))
        self._declared = data.get("inputs")
        self._report = report
        self._catalogue = catalogue
        self._expressions = expressions

    def run(self, scope: Scope) -> None:
        """Check them; `scope` contains what a trigger's expressions can read."""
        declared = dict(compile_schemas(get_mapping(self._declared), ("inputs",), self._report, may_be_open=False))
        for name, schema in declared.items():
            self._check_default(schema, name)
        for index, trigger in enumerate(self._triggers):
            if isinstance(trigger, dict):
                self._check_trigger(trigger, ("triggers", index), scope)
                self._check_inputs(trigger, ("triggers", index, "inputs"), declared)

    def _check_default(self, schema: CompiledSchema, name: str) -> None:
        written = get_mapping(get_mapping(self._declared)[name])
        for place, message in schema.find_problems(written["default"]) if "default" in written else ():
            what = f"the default of the input {quote(name)} does not fit its schema: {shorten(message)}"
            self._report.add(("inputs", name, "default", *place), what, "change one of them")

    def _check_trigger(self, trigger: Mapped, pointer: Pointer, scope: Scope) -> None:
        use = trigger.get("use")
        model = self._catalogue.triggers.get(use) if isinstance(use, str) else None
        given = get_mapping(trigger.get("with"))
        if model:
            scope = replace(
                scope,
                parameters=model.find_path_parameters(given),
                arrival=model.arrival,
                withheld=CREDENTIALS | model.withheld_headers(given),
            )
        check_filled(trigger, pointer, self._report)
        if isinstance(use, str) and model is None:
            hint = TRIGGERS.get(use.lower()) or suggest(use, self._catalogue.triggers)
            self._report.add((*pointer, "use"), f"there is no kind of trigger {quote(use)}", hint)
        check_given(
            model,
            trigger,
            pointer,
            scope=scope,
            report=self._report,
            expressions=self._expressions,
            is_open=lambda value: False,  # a trigger is set up before there are values to render
            beside={"when": BESIDE, "inputs": BESIDE},
        )
        if model:
            self._report.add_all(model.find_doubts(given), (*pointer, "with"))
            for inner in model.identifying:
                self._check_identifying(get_in(given, *inner), (*pointer, "with", *inner), scope)
        self._expressions.check_condition(trigger.get("when"), (*pointer, "when"), scope)
        self._expressions.check_templates(trigger.get("inputs"), (*pointer, "inputs"), scope)

    def _check_identifying(self, key: JSON, pointer: Pointer, scope: Scope) -> None:
        """Warn about a constant, which all deliveries share; an empty text would reject them all."""
        cure = 'write an expression, such as "{{ trigger.body.id }}"'
        if key == "":
            self._report.add(pointer, f"'{pointer[-1]}' is empty", cure)
        elif isinstance(key, str) and not has_template(key):
            effect = "all deliveries count as duplicates of the first"
            if not self._expressions.doubt_constant(key, pointer, scope, effect):
                what = f"{quote(key)} is the same for every delivery, so that {effect}"
                self._report.add(pointer, what, cure, severity="warning")

    def _check_inputs(self, trigger: Mapped, pointer: Pointer, schemas: dict[str, CompiledSchema]) -> None:
        if not isinstance(self._declared, dict):
            return
        given = get_mapping(trigger.get("inputs"))
        for name, value in given.items():
            if name not in self._declared:
                hint = suggest(name, self._declared) or "declare it under 'inputs'"
                self._report.add((*pointer, name), f"the pipeline has no input {quote(name)}", hint, is_key=True)
            elif name in schemas and not has_template(value):
                self._check_value(schemas[name], name, value, pointer)
            elif isinstance(value, str) and not is_whole_expression(value):
                self._check_text(get_mapping(self._declared[name]).get("type"), name, pointer)
        for name, schema in self._declared.items():
            if name not in given and "default" not in get_mapping(schema):
                what = f"the trigger does not give the input {quote(name)}"
                self._report.add(pointer, what, "add it, or declare a default for it", is_key=True)

    def _check_text(self, types: JSON, name: str, pointer: Pointer) -> None:
        """Report an input of another type whose value is a text with an expression in it, which always remains a
        text."""
        named = [each for each in (types if isinstance(types, list) else [types]) if isinstance(each, str)]
        if named and "string" not in named:
            what = f"this is a text, and the input {quote(name)} is of type {' or '.join(named)}"
            cure = "write one '{{ … }}' alone, or YAML with expressions in it, without quotes around the whole"
            self._report.add((*pointer, name), what, cure)

    def _check_value(self, schema: CompiledSchema, name: str, value: JSON, pointer: Pointer) -> None:
        for place, message in schema.find_problems(value):
            what = f"this does not fit the input {quote(name)}: {shorten(message)}"
            self._report.add((*pointer, name, *place), what, "see its schema under 'inputs'")
