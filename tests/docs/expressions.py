"""The reference's chapter on expressions: names, operators, filters, tests and limits, with evaluated examples."""

import inspect
from collections.abc import Iterator, Mapping

from durable import values
from durable.expressions import bounds, checks, compiler, filters, grammar, template, text_filters
from durable.expressions.arguments import Function
from durable.language.scope import FIELDS, RESERVED, STEP_FIELDS
from tests.docs import examples, words
from tests.docs.markdown import code, limits, listing, table


def section() -> Iterator[str]:
    yield "## Expressions"
    yield words.EXPRESSIONS
    yield table(("name", "readable", "parts"), list(_names()))
    yield "### Signs"
    yield words.EXAMPLES
    yield examples.scope()
    yield table(("sign", "example", "gives"), [(sign, *_shown(each)) for sign, each in examples.SIGNS.items()])
    yield "### Filters"
    yield words.FILTERS
    yield table(("filter", "example", "gives"), sorted(_functions(filters.FILTERS, examples.FILTERS)))
    yield "### Tests"
    yield words.TESTS
    rows = [*_functions(checks.TESTS, examples.TESTS), *_compiled_tests()]
    yield table(("test", "example", "gives"), sorted(rows))
    yield "### Limits of an expression"
    yield limits(
        {
            grammar: ["SOURCE_LIMIT"],
            compiler: ["DEPTH_LIMIT"],
            template: ["EXPRESSION_LIMIT"],
            bounds: ["TEXT_LIMIT", "ITEM_LIMIT", "NUMBER_LIMIT", "WORK_LIMIT"],
            text_filters: ["URL_LIMIT"],
            values: ["NESTING_LIMIT"],
        }
    )


def _names() -> Iterator[tuple[str, str, str]]:
    for name, where in words.complete(words.NAMES, RESERVED).items():
        yield code(name), where, _fields_of(name)


def _fields_of(name: str) -> str:
    if name == "steps":
        return f"`.ID` and then {listing(sorted(STEP_FIELDS))}"
    return " ".join(map(code, sorted(FIELDS.get(name, ()))))


def _shown(expression: str) -> tuple[str, str]:
    return code(expression), code(examples.shown(expression))


def _functions(table: Mapping[str, Function], shown: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, names in examples.group_names(table, shown).items():
        others = [code(other) for other in names if other != name]
        yield " ".join([code(f"{name}{_parameters(table[name])}"), *others]), *_shown(shown[name])


def _compiled_tests() -> Iterator[tuple[str, str, str]]:
    for name in ("defined", "undefined"):
        yield code(name), *_shown(examples.TESTS[name])


def _parameters(function: Function) -> str:
    """The parameters of a filter or test, without the first two (the evaluation and the value)."""
    own = list(inspect.signature(function).parameters.values())[2:]
    shown = [_parameter(each) for each in own]
    return f"({', '.join(shown)})" if shown else ""


def _parameter(each: inspect.Parameter) -> str:
    name = f"*{each.name}" if each.kind is each.VAR_POSITIONAL else each.name
    if each.default is each.empty:
        return name
    return f"{name}=…" if each.default is bounds.ABSENT else f"{name}={_literal(each.default)}"


def _literal(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else repr(value)
