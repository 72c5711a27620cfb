"""No expression breaks out of the sandbox, and every expression has bounded cost."""

import time
import tracemalloc
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.expressions.expression import Expression, ExpressionError
from durable.expressions.template import Template
from durable.values import JSON, Value

SCOPE: dict[str, object] = {
    "key": "total",
    "inputs": {"order": {"total": 5}, "list": [1, 2]},
    "steps": MappingProxyType({"customer": MappingProxyType({"status": "completed"})}),
}


def evaluate(text: str, scope: Mapping[str, object] = SCOPE) -> JSON:
    return Expression.parse(text).evaluate(scope)


# -- attacks -----------------------------------------------------------------------------------------------------

TIME_LIMIT = 2.0
MEMORY_LIMIT = 50_000_000

ESCAPES = [
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "inputs.__class__",
    "inputs['__class__']['__base__']",
    "inputs.get",
    "inputs.keys()",
    "key.format(1)",
    "'{0.__class__}'.format(key)",
    "'%s' % key",
    "'%1000000000d' % 1",
    "key|attr('__class__')",
    "key|map('attr', '__class__')",
    "[key]|map(attribute='__class__')|list",
    "inputs|dictsort|map(attribute='0.__class__')",
    "[key]|selectattr('__class__')",
    "[key]|map('__class__')",
    "[3]|map('format', 1)",
    "key|format(1)",
    "key|pprint",
    "key|xmlattr",
    "key|safe",
    "key|indent(10**9)",
    "key|center(10**9)",
    "key|wordwrap",
    "key|filesizeformat",
    "[1]|random",
    "[1]|groupby('x')",
    "self",
    "self.__init__.__globals__",
    "cycler('a').__init__.__globals__.os",
    "joiner()",
    "namespace(a=1)",
    "lipsum(10**9)",
    "lipsum.__globals__",
    "range(10**9)",
    "dict(a=1)",
    "loop.index",
    "caller()",
    "super()",
    "varargs",
    "_context",
    "environment",
    "context.resolve('x')",
    "(lambda: 1)()",
    "[x for x in inputs]",
    "key is callable",
    "key is sameas key",
    "key is filter",
    "key is escaped",
    "inputs.order = 1",
    "steps.customer._values",
    "steps.customer.__getitem__",
    "steps._values.customer",
    "{{ 1 }}{% set x = 1 %}",
    "{% for x in y %}",
    "import os",
    "(1).__add__",
    "1.0.__class__",
    "none.__class__",
    "true.real",
    "[].append(1)",
    "[]['append']",
    "key[key]",
    "key['upper']",
]

BOMBS = [
    "9 ** 9 ** 9 ** 9",
    "10 ** 31",
    "2.5 ** 100000",
    "(-8) ** 0.5",
    "huge * huge",
    "huge ** 2",
    "huge + 1",
    "huge // 1",
    "-huge - huge",
    "1e308 + 1e308",
    "text * 10",
    "10 * text",
    "[0] * 10 ** 9",
    "text + text",
    "text ~ text",
    "text ~ '!'",
    "items + items",
    "items + [1]",
    "text|replace('a', 'aa')",
    "text|replace('a', text)",
    "text|replace('', text)",
    "text|split('a')",
    "text|list",
    "text|tojson ~ text",
    "control|tojson",
    "wide|urlencode",
    "wide|raw_path",
    "items|join(text)",
    "texts|join",
    "texts|join(text)",
    "nulls|map('default', text, true)|join",
    "nulls|map('default', rows, true)",
    "nulls|map('default', rows, true)|tojson",
    "nulls|map('default', rows, true)|unique",
    "nulls|map('default', rows, true) == nulls|map('default', others, true)",
    "nulls|map('default', items, true)|map('sum')",
    "nulls|map('default', items, true)|map('sort')",
    "nulls|map('default', items, true)|map('map', 'string')",
    "nulls|map('default', text, true)|sort",
    "rows in nulls|map('default', others, true)",
    "items|map('string')|map('list')|map('join')|map('list')",
    "items|sort|sort|sort|sort|sort|sort|sort|sort",
    "rows|map('tojson')|map('fromjson')|map('tojson')|map('fromjson')",
    "items|tojson(10**9)",
    "items|tojson(indent=10**9)",
    "('[' ~ commas ~ ']')|fromjson",
    "text|trim(wide)",
    "1|round(10**9)",
    "[items, items, items, items, items, items, items, items, items, items, items, items]",
    "[" + ", ".join(["wide ~ ''"] * 300) + "]",
    "[" + ", ".join(["wide[1:]"] * 300) + "]",
    "[" + ", ".join(["items[1:]"] * 300) + "]",
    "[" + ", ".join(["rows"] * 300) + "]",
    "(" * 5000 + "1" + ")" * 5000,
    "(" * 31 + "1" + ")" * 31,
    "[" * 5000,
    "not " * 2400 + "1",
    "-" * 9000 + "1",
    "1" + " + 1" * 2400,
    "1" + " if 1 else 1" * 800,
    "key" + "|upper" * 1600,
    "1 ==" * 2400 + " 1" * 500,
    "a" * 10_001,
    "9" * 9_999,
    "0x" + "f" * 9_000,
    "'" + "a" * 20_000 + "'",
    "[[[[[[[[[[[[[[[deep]]]]]]]]]]]]]]]",
    "endless|tojson",
]

HARMLESS = [
    "text == texts[0] ~ ''",
    "rows[:10000] == others[:10000]",
    "text[:500000] ~ text[:500000]",
    "text[:1000]|replace('a', text[:1000])",
    "items[:10000]|map('string')|map('length')|sum",
    "wide|upper",
    "text in texts + texts",
    "rows[:5000]|unique",
    "rows|map(attribute='v.a.0')|sum",
    "items|sort(reverse=true)|first",
    "'" + "a" * 50 + "b" + "a" * 49 + "' in text",
    "text|replace('" + "a" * 50 + "b" + "a" * 49 + "', '')|length",
    "deep|tojson",
    "huge ~ ''",
    "items",
    "wide",
]


def _endless() -> list[JSON]:
    endless: list[JSON] = []
    endless.append(endless)
    return endless


def _nest(levels: int) -> JSON:
    nested: JSON = 1
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.fixture(scope="module")
def large() -> dict[str, object]:
    return large_scope()


def large_scope() -> dict[str, object]:
    """Data as large as an expression can encounter."""
    return {
        "key": "total",
        "text": "a" * 2**20,
        "wide": "\U00010330" * 2**20,
        "control": "\x01" * 2**20,
        "commas": "[]," * 340_000 + "1",
        "texts": ["b" * 2**20, "c" * 2**20],
        "items": list(range(100_000)),
        "nulls": [None] * 100_000,
        "rows": [{"k": str(index), "v": {"a": [index]}} for index in range(30_000)],
        "others": [{"k": str(index), "v": {"a": [index]}} for index in range(30_000)],
        "huge": 10**4000,
        "deep": _nest(190),
        "endless": _endless(),
    }


@pytest.mark.parametrize("text", ESCAPES)
def test_nothing_breaks_out_of_the_sandbox(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text)


@pytest.mark.parametrize("text", BOMBS)
def test_an_expression_bomb_is_rejected_in_bounded_time_and_memory(text: str, large: dict[str, object]) -> None:
    seconds, memory, is_refused = measure(text, large)
    assert is_refused
    assert seconds < TIME_LIMIT
    assert memory < MEMORY_LIMIT


@pytest.mark.parametrize("text", HARMLESS)
def test_a_merely_large_expression_is_evaluated_in_bounded_time_and_memory(text: str, large: dict[str, object]) -> None:
    seconds, memory, is_refused = measure(text, large)
    assert not is_refused
    assert seconds < TIME_LIMIT
    assert memory < MEMORY_LIMIT


@pytest.mark.parametrize(
    "text", ["{% for x in range(10**9) %}{{ key }}{% endfor %}", "{% macro m() %}{{ key }}{% endmacro %}"]
)
def test_statements_are_text(text: str) -> None:
    assert Template.parse(text).render(SCOPE)[0] == text.replace("{{ key }}", "total")


def test_a_text_of_many_expressions_is_bounded(large: dict[str, object]) -> None:
    with pytest.raises(ExpressionError, match="at most"):
        Template.parse("{{ key }}" * 200_000)
    with pytest.raises(ExpressionError, match="too long"):
        Template.parse("{{ text }}" * 900).render(large)


def measure(text: str, scope: Mapping[str, object]) -> tuple[float, int, bool]:
    """CPU seconds, peak memory in bytes, and whether the expression was rejected."""
    started = time.thread_time()
    is_refused = _is_refused(text, scope)
    seconds = time.thread_time() - started
    tracemalloc.start()
    try:
        _is_refused(text, scope)
        return seconds, tracemalloc.get_traced_memory()[1], is_refused
    finally:
        tracemalloc.stop()


def _is_refused(text: str, scope: Mapping[str, object]) -> bool:
    try:
        evaluate(text, scope)
    except ExpressionError:
        return True
    return False


# -- properties -------------------------------------------------------------------------------------------------

_TOKENS = """
inputs trigger.body key x .a ['a'] [0] [1:2] 1 0 2.5 'a' "b" none true + - * / // % ** ~ == != < <= > >= in not and or
is if else ( ) [ ] { } , : | . {{ }} defined undefined divisibleby(0) startswith('a') |abs |b64decode |default(1)
|dictsort |first |float |fromjson |int |items |join |keys |last |length |list |lower |map('first') |map(attribute='a')
|max |min |reject |replace('a','b') |reverse |round |round(2,'ceil') |select('odd') |selectattr('a','defined') |sort
|split |string |sum |tojson |trim |truncate(3) |unique |upper |urlencode |raw_path |values
"""
_PIECES = st.sampled_from(_TOKENS.split())
_FILTERS = st.sampled_from([token for token in _TOKENS.split() if token.startswith("|") and token != "|"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(st.text() | st.lists(_PIECES, max_size=12).map(" ".join), _JSON)
def test_no_text_raises_anything_but_an_expression_error(text: str, value: JSON) -> None:
    scope = {"x": value, "key": "a", "inputs": {"a": value}, "trigger": {"body": value}}
    with suppress(ExpressionError):
        Value.of(evaluate(text, scope))
    with suppress(ExpressionError):
        Value.of(Template.parse(text).render(scope)[0])


@given(st.sampled_from(["x", "[x]", "[x, '1', 2]"]), st.lists(_FILTERS, max_size=4), _JSON)
def test_no_chain_of_filters_raises_anything_but_an_expression_error(
    root: str, filters: list[str], value: JSON
) -> None:
    with suppress(ExpressionError):
        Value.of(evaluate("".join([root, *filters]), {"x": value}))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_payload_text_passes_through_unchanged(text: str) -> None:
    scope = {"x": text}
    assert Template.parse("{{ x }}").render(scope) == (text, ())
    assert Template.parse("a{{ x }}{{x}}").render(scope)[0] == f"a{text}{text}"
    assert evaluate("x ~ x", scope) == text + text


@given(_JSON)
def test_a_payload_keeps_its_type(value: JSON) -> None:
    rendered, _ = Template.parse(["{{ x }}"]).render({"x": value})
    assert Value.of(rendered) == Value.of([value])


@given(_JSON)
def test_tojson_and_fromjson_are_inverse(value: JSON) -> None:
    assert evaluate("x|tojson|fromjson", {"x": value}) == value


@given(st.text().filter(lambda text: "{{" not in text))
def test_a_text_without_braces_is_constant(text: str) -> None:
    template = Template.parse({"a": text})
    assert template.is_constant
    assert template.render({})[0] == {"a": text}
