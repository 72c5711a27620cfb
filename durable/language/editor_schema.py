"""The JSON Schema of pipeline files for editors: the language's models, completed with the installed connectors.

The keys under `with` depend on `use`, and the keys of a step depend on its kind. Conditions select a single schema, so
that an editor completes and checks by that schema only. Every value under `with` may instead be an expression. Checks
that need the whole file (names and their scope, the order of steps) are left to the loader.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
from pydantic import BaseModel

from durable.blocks.action import OF_CONNECTORS
from durable.blocks.core_actions import CORE_ACTIONS, CORE_INPUTS
from durable.blocks.syntax import StepSpec
from durable.blocks.wait import ANY
from durable.language.catalogue import Catalogue
from durable.language.metaschema import make_metaschema
from durable.language.model_schema import (
    DIALECT,
    STEP,
    InputsGenerator,
    Schema,
    SpecGenerator,
    draft_schema,
    open_inside,
    open_value,
)
from durable.language.pipeline import PipelineSpec
from durable.language.steps import SYNTAX_BY_KEY

SIZE_LIMIT = 2_000_000
"""The maximum size, in bytes, of the definitions of one connector's inputs."""

_OUTSIDE = ("type", "description", "default", "enum", "pattern", "patternErrorMessage")
_FILLED = ["object", "array", "string", "number", "boolean"]


@dataclass(frozen=True, slots=True)
class Usable:
    """A possible value of `use`: its summary, and the model of its inputs."""

    summary: str
    model: type[BaseModel]

    @property
    def has_required(self) -> bool:
        return bool(self.model.model_json_schema().get("required"))


Usables = Mapping[str, Usable]


def make_pipeline_schema(catalogue: Catalogue) -> Schema:
    """Return the schema of a file. Equal catalogues give equal schemas, byte for byte."""
    actions = {use: Usable(action.summary, action.input) for use, action in sorted(catalogue.actions.items())}
    core = {use: Usable(_get_summary(model), model) for use, model in sorted(CORE_INPUTS.items())}
    triggers = {kind: Usable(_get_summary(model), model) for kind, model in sorted(catalogue.triggers.items())}
    file, definitions = draft_schema(PipelineSpec, SpecGenerator)
    file["properties"]["inputs"]["additionalProperties"] = {"type": "object", "allOf": [_refer("Schema")]}
    definitions["Schema"] = make_metaschema("Schema")
    definitions |= _define_steps(actions, core)
    for owner, usables in (("Undo", actions), ("TriggerSpec", triggers)):
        definitions[owner]["properties"] |= _define_use(definitions[owner]["properties"], usables)
        definitions[owner] = _add_cases(definitions[owner], usables)
    definitions |= _define_all_inputs(actions)
    for use, usable in {**core, **triggers}.items():
        definitions |= _define_inputs(use, usable)
    definitions |= _define_waits(definitions, core)
    return {"$schema": DIALECT, **file, "title": "Waypost pipeline", "definitions": dict(sorted(definitions.items()))}


def _get_summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


# -- steps ------------------------------------------------------------------------------------------------------


def _define_steps(actions: Usables, core: Usables) -> dict[str, Schema]:
    """Define steps: one definition for each kind of block, and one for each group of actions that accept the same
    keys."""
    drafts = {kind: draft_schema(syntax.model, SpecGenerator) for kind, syntax in SYNTAX_BY_KEY.items()}
    steps = {kind: _strip_titles(step) for kind, (step, _) in drafts.items()}
    action = steps.pop("use")
    fields = action["properties"]
    fields |= _define_use(fields, {**actions, **core})
    fields["keep"]["type"] = _FILLED
    fields["on_timeout"] |= {
        "examples": ["fail"],
        "type": _FILLED,
        "anyOf": [{"type": "array", "items": _refer(STEP)}, {"not": {"type": "array"}}],
    }
    keys = {use: CORE_ACTIONS[use].syntax.keys for use in core}
    waits = {use: usable for use, usable in core.items() if "on_timeout" in keys[use]}
    flow = {use: usable for use, usable in core.items() if use not in waits}
    with_keys = {use: f"Step.{use.rpartition('.')[2]}" for use in flow if keys[use]}
    of_any = fields.keys() - OF_CONNECTORS - frozenset().union(*keys.values())
    choices = [
        (_match_use({"type": "string", "pattern": r"^wait\."}), "Step.wait"),
        *((_match_use({"const": use}), name) for use, name in with_keys.items()),
        (_match_use({"type": "string", "pattern": r"^flow\."}), "Step.flow"),
        *(({"required": [kind]}, f"Step.{kind}" if kind in steps else "Step.action") for kind in SYNTAX_BY_KEY),
    ]
    new = {kind: (action if kind == "use" else steps[kind])["properties"][kind] for kind in SYNTAX_BY_KEY}
    return {
        **{name: each for _, inner in drafts.values() for name, each in inner.items()},
        STEP: {"title": STEP, "description": StepSpec.__doc__, "type": "object", **_choose(choices, "Step.new")},
        "Step.new": {
            **_select_keys(action, {"id", "if"}),
            "properties": {"id": fields["id"], "if": fields["if"], **new},
            "required": ["id"],
            "anyOf": [{"required": [kind]} for kind in SYNTAX_BY_KEY],
        },
        "Step.action": _add_cases(_select_keys(action, fields.keys() - {"on_timeout"}), actions),
        **{name: _add_cases(_select_keys(action, of_any | keys[use]), flow) for use, name in with_keys.items()},
        "Step.flow": _add_cases(_select_keys(action, of_any), flow),
        "Step.wait": {
            **_add_cases(_select_keys(action, of_any.union(*(keys[use] for use in waits))), waits),
            "dependencies": {"on_timeout": ["timeout"]},
        },
        **{f"Step.{kind}": step for kind, step in steps.items()},
    }


def _strip_titles(step: Schema) -> Schema:
    return {word: part for word, part in step.items() if word not in {"title", "description"}}


def _choose(choices: Sequence[tuple[Schema, str]], otherwise: str) -> Schema:
    """Return a definition that selects the first condition that is true."""
    chosen = _refer(otherwise)
    for condition, name in reversed(choices):
        chosen = {"if": condition, "then": _refer(name), "else": chosen}
    return chosen


def _select_keys(step: Schema, keys: Collection[str]) -> Schema:
    """Return the schema of a step, restricted to these keys."""
    return {**step, "properties": {key: field for key, field in step["properties"].items() if key in keys}}


def _define_waits(definitions: dict[str, Schema], core: Usables) -> dict[str, Schema]:
    """Define the parts nested in waits: the waits of a `wait.any`, and the fields of an approval."""
    several, one, approval = (definitions[name] for name in (ANY, f"{ANY}.Waited", "wait.approval"))
    usables = {use: usable for use, usable in core.items() if use.startswith("wait.") and use != ANY}
    waits = _require_written(several["properties"]["waits"])
    fields = {
        **approval["properties"]["fields"],
        "additionalProperties": {"type": ["object", "string"], "allOf": [_refer("Field")]},
    }
    return {
        ANY: {**several, "properties": {"waits": waits}},
        f"{ANY}.Waited": {
            **_require_written(one),
            "allOf": [_make_case(use, each, ()) for use, each in usables.items()],
        },
        "wait.approval": {**approval, "properties": {**approval["properties"], "fields": fields}},
        "Field": open_value(make_metaschema("Field")),
    }


def _require_written(schema: Schema) -> Schema:
    """Remove the alternative of an expression for the whole value."""
    plain = {word: part for word, part in schema.items() if word not in {"pattern", "patternErrorMessage"}}
    return {**plain, "type": "object"}


# -- what follows from `use` ------------------------------------------------------------------------------------


def _add_cases(owner: Schema, usables: Usables) -> Schema:
    """Add a condition for every `use` to a schema with `use` and `with`."""
    cases = [_make_case(use, usable, _find_needed(use)) for use, usable in usables.items()]
    conditions = [CORE_ACTIONS[use].syntax.needs_timeout for use in usables if use in CORE_ACTIONS]
    cases += [{"if": each, "then": {"required": ["on_timeout"]}} for each in conditions if isinstance(each, dict)]
    return {**owner, "allOf": cases} if cases else owner


def _find_needed(use: str) -> Sequence[str]:
    """Return the keys that a step with this `use` requires."""
    return ["on_timeout"] if use in CORE_ACTIONS and CORE_ACTIONS[use].syntax.needs_timeout is True else []


def _make_case(use: str, usable: Usable, needed: Sequence[str]) -> Schema:
    required = [*(["with"] if usable.has_required else []), *needed]
    return {"if": _match_use({"const": use}), "then": {"properties": {"with": _refer(use)}, "required": required}}


def _match_use(what: Schema) -> Schema:
    return {"properties": {"use": what}, "required": ["use"]}


def _define_use(fields: Schema, usables: Usables) -> Schema:
    """Define the fields `use`, which offers every name with its summary, and `with`.

    The last alternative accepts every text: the pattern then explains a wrong name in one short sentence, instead of a
    list of all names.
    """
    names = sorted(usables)
    pattern = "|".join(names).replace(".", r"\.")
    use = {
        **fields["use"],
        "pattern": f"^({pattern})$",
        "patternErrorMessage": "No installed action has this name; `waypost validate` suggests similar names",
        "anyOf": [*({"const": name, "description": usables[name].summary} for name in names), {"type": "string"}],
    }
    return {"use": use, "with": {"description": fields["with"]["description"], "type": ["object", "null"]}}


def _define_all_inputs(actions: Usables) -> dict[str, Schema]:
    """Define the inputs of all actions. If those of one connector are larger than `SIZE_LIMIT`, only what is directly
    under `with` is described: editors become slow with much larger schemas."""
    definitions: dict[str, Schema] = {}
    for _, group in groupby(actions, key=lambda use: use.partition(".")[0]):
        uses = list(group)
        defined = [_define_inputs(use, actions[use]) for use in uses]
        if sum(len(msgspec.json.encode(each)) for each in defined) > SIZE_LIMIT:
            defined = [{use: _drop_inside(each[use])} for use, each in zip(uses, defined, strict=True)]
        for each in defined:
            definitions |= each
    return definitions


def _drop_inside(schema: Schema) -> Schema:
    """Return the schema of inputs without what their values contain."""
    plain = {
        name: {word: part for word, part in each.items() if word in _OUTSIDE}
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": plain}


def _define_inputs(use: str, usable: Usable) -> dict[str, Schema]:
    """Define the inputs of `use`, with names derived from it.

    The inputs are a mapping, not an expression, so that its keys can be checked. If none is required, `with:` may be
    empty.
    """
    given, inner = draft_schema(usable.model, InputsGenerator, prefix=f"{use}.")
    kind = "object" if usable.has_required else ["object", "null"]
    return {
        use: {**open_inside(given), "title": use, "type": kind},
        **{name: open_value(schema) for name, schema in inner.items()},
    }


def _refer(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}
