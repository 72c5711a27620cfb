"""The language reference, generated from the models: `python -m tests.docs.reference` writes `docs/reference.md`."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import get_args

import httpx
from pydantic import BaseModel

from connectors.wire import errors
from connectors.wire.response import Response
from durable.action import Action, Connector, ErrorClass
from durable.blocks.action import STEP_TIMEOUT
from durable.blocks.core_actions import CORE_INPUTS
from durable.blocks.policies import DefaultsSpec, RetrySpec
from durable.blocks.syntax import StepSpec
from durable.durations import format_duration, parse_duration
from durable.history.entries import Decision, Fact
from durable.history.words import RunStatus, StepStatus
from durable.known_values import KnownMapping
from durable.language import pipeline
from durable.language.catalogue import Catalogue
from durable.language.outputs import find_returned
from durable.language.scope import FIELDS
from durable.language.steps import SYNTAX_BY_KEY
from durable.retry import RetryPolicy
from durable.steps.resolved import RUN_TIMEOUT
from durable.yaml.document import LIMITS
from tests.docs import expressions, words
from tests.docs.markdown import code, fields, listing, summary, table, title
from triggers.config.catalogue import load_connectors
from triggers.kinds import list_kinds
from triggers.webhooks import scheme
from triggers.webhooks.presets import GENERIC, load_presets
from triggers.webhooks.scheme import Ref, Scheme, Signed, Token

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference.md"


def render_page() -> str:
    """The page."""
    blocks = (
        *_file(),
        *_steps(),
        *_triggers(),
        *_connectors(),
        *_core_actions(),
        *expressions.section(),
        *_small_things(),
    )
    return "\n\n".join(block for block in ("# The reference", words.BEGINNING, *blocks) if block) + "\n"


# -- the file ---------------------------------------------------------------------------------------------------


def _file() -> Iterator[str]:
    yield "## The file"
    yield summary(pipeline.PipelineSpec)
    yield fields(pipeline.PipelineSpec)
    yield from _part(DefaultsSpec)
    yield from _part(RetrySpec)
    yield _policy(RetryPolicy())
    yield from _part(pipeline.ConcurrencySpec)
    yield from _part(pipeline.RetentionSpec)


def _part(model: type[BaseModel]) -> Iterator[str]:
    yield f"### {title(model)}"
    yield summary(model)
    yield fields(model)


def _policy(policy: RetryPolicy) -> str:
    return (
        f"Where neither the step nor `defaults` sets anything: {policy.max_attempts} attempts, "
        f"{format_duration(STEP_TIMEOUT)} for each attempt, delays from {format_duration(policy.min_delay)} to "
        f"{format_duration(policy.max_delay)} that grow by a factor of {policy.factor:g}, and a time limit for the "
        f"run of "
        f"{format_duration(RUN_TIMEOUT)}. {words.RETRYING}"
    )


def _units() -> dict[str, int]:
    return {unit: parse_duration(f"1{unit}") for unit in words.UNITS}


# -- steps ------------------------------------------------------------------------------------------------------


def _steps() -> Iterator[str]:
    yield "## Steps"
    yield summary(StepSpec)
    yield fields(StepSpec)
    for kind, syntax in SYNTAX_BY_KEY.items():
        yield f"### A step with {code(kind)}"
        keys = [
            field.alias or name
            for name, field in syntax.model.model_fields.items()
            if name in syntax.keys or field.alias in syntax.keys
        ]
        yield fields(syntax.model, [kind, *keys], has_required=False)
        yield words.OUTPUTS.get(kind, "")
        for model in syntax.parts:
            yield from _part(model)


# -- triggers ---------------------------------------------------------------------------------------------------


def _triggers() -> Iterator[str]:
    yield "## Triggers"
    yield summary(pipeline.TriggerSpec)
    yield fields(pipeline.TriggerSpec)
    for kind in list_kinds().values():
        model = kind.model
        yield f"### {code('use: ' + kind.name)}"
        yield summary(model)
        yield fields(model)
        for part in _parts_of(model):
            yield f"#### {title(part)}"
            yield summary(part)
            yield fields(part)
    yield from _verify()


def _parts_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield each


def _verify() -> Iterator[str]:
    yield "### `verify`"
    yield words.VERIFY
    yield table(
        ("preset", "proof", "signed", "id, kind, second key"),
        [(code(name), *_proof(each), _identity(each)) for name, each in sorted(load_presets().items())],
    )
    yield table(
        ("preset", "for", "options"),
        [(code(name), summary(model), _keys(model)) for name, model in GENERIC.items()],
    )
    yield words.SCHEME
    rows = [(title(part), summary(part), _keys(part)) for part in _parts_of_a_scheme()]
    yield table(("part", "meaning", "keys"), rows)


def _parts_of_a_scheme() -> Iterator[type[BaseModel]]:
    for each in vars(scheme).values():
        if isinstance(each, type) and issubclass(each, scheme.StrictModel) and each is not scheme.StrictModel:
            yield each


def _proof(each: Scheme) -> tuple[str, str]:
    match each:
        case Token(carrier="header"):
            return f"the secret in {code(each.header)}", ""
        case Token():
            return f"the secret as {each.carrier} credentials in {code(each.header)}", ""
        case Signed():
            how = "Ed25519" if each.kind == "ed25519" else f"HMAC-{each.alg.upper()}"
            time = f", at most {each.ts.tolerance:g} s old" if each.ts else ""
            return f"{how}, {each.sig.encoding}, in {code(each.sig.header)}{time}", " ".join(map(_place, each.signed))


def _identity(each: Scheme) -> str:
    refs = [_place(ref) for ref in (each.dedupe, each.type) if ref]
    return ", ".join([*refs, *([f"the {each.replay}'s hash"] if each.replay else [])])


def _place(ref: Ref) -> str:
    if ref.place == "const":
        return f"`'{ref.name}'`"
    return code(f"{ref.place}:{ref.name}" if ref.name else ref.place)


def _keys(model: type[BaseModel]) -> str:
    return " ".join(
        f"{code(name)} (required)" if field.is_required() else code(name) for name, field in model.model_fields.items()
    )


# -- actions ----------------------------------------------------------------------------------------------------


def _connectors() -> Iterator[str]:
    yield "## Connectors"
    yield words.CONNECTORS
    for connector in load_connectors().load_all().values():
        if any(action.stored is not None for action in connector.actions.values()):
            continue  # `waypost connector show` documents those that a YAML file describes
        yield f"### {code(connector.name)}"
        yield f"{connector.summary.rstrip('.')}."
        yield table(
            ("action", "what it does", "default `on_crash`"),
            [(_use(connector, action), action.summary, code(action.on_crash)) for action in connector.actions.values()],
        )
        yield from _models(connector)


def _use(connector: Connector, action: Action) -> str:
    return code(f"{connector.name}.{action.name}")


def _models(connector: Connector) -> Iterator[str]:
    for input, group in groupby(connector.actions.values(), key=lambda action: action.input):
        names = listing((f"{connector.name}.{action.name}" for action in group), "and")
        yield f"#### Inputs of {names}"
        yield summary(input)
        yield fields(input)
    for output, group in groupby(connector.actions.values(), key=lambda action: action.output):
        names = listing((f"{connector.name}.{action.name}" for action in group), "and")
        if output:
            yield f"#### Output of {names}"
            yield summary(output)
            yield fields(output, is_given=False)


def _core_actions() -> Iterator[str]:
    yield "## Actions of the core"
    yield words.CORE_ACTIONS
    for use, model in CORE_INPUTS.items():
        yield f"### {code(use)}"
        yield summary(model)
        yield fields(model)
        for part in _parts_of(model):
            yield f"Each is {summary(part)[:1].lower()}{summary(part)[1:]}"
            yield fields(part)
        yield _core_output(use)


def _core_output(use: str) -> str:
    """The fields of its output, as the loader knows them."""
    known = find_returned(use, {"fields": None}, Catalogue({}, {}))
    if isinstance(known, KnownMapping):
        return f"Its output has {listing(sorted(known.keys), 'and')}." if known.keys else "Its output is null."
    return words.OUTPUTS.get(use, "")


# -- durations, errors, statuses, history -----------------------------------------------------------------------


def _small_things() -> Iterator[str]:
    yield "## Durations"
    yield words.DURATIONS
    yield table(("unit", "milliseconds"), [(code(unit), f"{size:,}") for unit, size in _units().items()])
    yield "## Error classes"
    yield words.ERRORS
    yield table(("class", "meaning", "HTTP statuses", "retried by default"), _error_classes())
    yield f"`error` has {listing(sorted(FIELDS['error']), 'and')}; each may be null."
    yield "## Statuses"
    yield "Of a run:"
    yield table(("status", "meaning"), _statuses(words.RUN_STATUSES, get_args(RunStatus)))
    yield "Of a step:"
    yield table(("status", "meaning"), _statuses(words.STEP_STATUSES, get_args(StepStatus)))
    yield "## The history"
    yield words.HISTORY
    yield table(("entry", "kind", "meaning"), [*_entries("fact", Fact), *_entries("decision", Decision)])
    yield "## Limits of a file"
    rows = [(f"{getattr(LIMITS, name):,}", of) for name, of in words.FILE_LIMITS.items()]
    yield table(("at most", "of what"), rows)


def _error_classes() -> Iterator[tuple[str, str, str, str]]:
    repeated = RetryPolicy().errors
    for name, meaning in words.complete(words.ERROR_CLASSES, get_args(ErrorClass)).items():
        yield code(name), meaning, _http_statuses(name), "yes" if name in repeated else "no"


def _http_statuses(error_class: str) -> str:
    found = [
        each
        for each in range(400, 600)
        if errors.classify_response(Response(each, httpx.Headers(), b"")) == error_class
    ]
    spans = [[each for _, each in group] for _, group in groupby(enumerate(found), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{span[0]}–{span[-1]}" if span[1:] else str(span[0]) for span in spans)


def _statuses(meanings: Mapping[str, str], statuses: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name, meaning in words.complete(meanings, statuses).items():
        yield code(name), meaning


def _entries(kind: str, union: object) -> Iterator[tuple[str, str, str]]:
    for entry in get_args(union):
        yield code(str(entry.__struct_config__.tag)), kind, summary(entry)


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
