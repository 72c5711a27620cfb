"""The expression language: values, rejected expressions and error messages."""

import json
import math
from collections.abc import Iterator, Mapping

import pytest

from durable.expressions.expression import Expression, ExpressionError, UndefinedName
from durable.expressions.template import Template
from durable.history.words import SecretName, SecretPlaceholder
from durable.values import JSON, PayloadMissing, Value


class Lazy(Mapping[str, object]):
    """A mapping that is not a dict; an exception among its values is raised when it is read."""

    def __init__(self, **values: object) -> None:
        self._values = values

    def __getitem__(self, key: str) -> object:
        value = self._values[key]
        if isinstance(value, Exception):
            raise value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


ORDER = {
    "id": "A-1",
    "total": 700,
    "rate": 0.5,
    "note": None,
    "paid": True,
    "items": "the key",
    "lines": [{"sku": "b", "qty": 2, "tag": {"name": "x"}}, {"sku": "a", "qty": 3, "tag": {"name": "y"}}],
}
SCOPE: dict[str, object] = {
    "inputs": {"order": ORDER, "names": ["Bo", "al", "Cy", "al"], "code": "1685E6", "none": "None", "empty": []},
    "trigger": {"body": {"a": 1, "list": [1, 2, 3], "text": "hello"}, "headers": {"x-id": "7"}},
    "steps": Lazy(customer=Lazy(output={"body": {"id": 5}}, status="completed"), order=Lazy(status="pending")),
    "key": "total",
}


def evaluate(text: str, scope: Mapping[str, object] = SCOPE) -> JSON:
    return Expression.parse(text).evaluate(scope)


# -- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.code", "1685E6"),
        ("inputs.none", "None"),
        ("inputs.order.total", 700),
        ("inputs.order.paid", True),
        ("inputs.order.note", None),
        ("inputs.order.items", "the key"),
        ("inputs['order']['id']", "A-1"),
        ("inputs.order[key]", 700),
        ("trigger.headers['x-id']", "7"),
        ("trigger.body.list[-1]", 3),
        ("trigger.body.list.0", 1),
        ("inputs.order.lines[1].tag.name", "y"),
        ("trigger.body.list[1:]", [2, 3]),
        ("trigger.body.list[::-1]", [3, 2, 1]),
        ("trigger.body.text[:2]", "he"),
        ("{{ inputs.order.total }}", 700),
        ("  {{ '}}' }}  ", "}}"),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("[1, 'a', none, null, true, 1.5]", [1, "a", None, None, True, 1.5]),
        ("(1, 2)", [1, 2]),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'n: ' ~ 1 ~ none ~ true ~ [1, 'é'] ~ {'a': 1.0}", 'n: 1nulltrue[1,"é"]{"a":1.0}'),
        ("1 < 2 <= 2", True),
        ("1 < 2 > 5", False),
        ("'a' < 'b'", True),
        ("1 == 1.0 and 'a' != 1", True),
        ("'ell' in trigger.body.text and 2 in trigger.body.list and 'a' in trigger.body", True),
        ("9 not in trigger.body.list", True),
        ("not inputs.empty", True),
        ("inputs.order.note or 'none given'", "none given"),
        ("'big' if inputs.order.total > 500 else 'small'", "big"),
        ("steps.customer.output.body.id", 5),
        ("steps.customer.status == 'completed'", True),
        ("steps.customer", {"output": {"body": {"id": 5}}, "status": "completed"}),
        ("[steps.order]", [{"status": "pending"}]),
        ("steps|keys", ["customer", "order"]),
        (r"'a\n\u00e9\'\\'", "a\né'\\"),
    ],
)
def test_an_expression_returns_a_native_value(text: str, value: JSON) -> None:
    result = evaluate(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5|abs", 5),
        ("'é'|b64encode", "w6k="),
        ("'w6k='|b64decode", "é"),
        ("'hello world'|capitalize", "Hello world"),
        ("inputs.names|count", 4),
        ("{'b': 1, 'a': 2}|dictsort", [["a", 2], ["b", 1]]),
        ("{'b': 1, 'a': 2}|dictsort(by='value', reverse=true)", [["a", 2], ["b", 1]]),
        ("inputs.names|first", "Bo"),
        ("'1.5e1'|float", 15.0),
        ("'x'|float(0)", 0),
        ("'{\"a\": [1]}'|fromjson", {"a": [1]}),
        ("'\ufeff{\"a\": [1]}'|fromjson", {"a": [1]}),
        ("' 12 '|int", 12),
        ("3.9|int", 3),
        ("''|int(none)", None),
        ("trigger.headers|items", [["x-id", "7"]]),
        ("[1, none, 'a']|join(', ')", "1, null, a"),
        ("inputs.order.lines|join('-', attribute='tag.name')", "x-y"),
        ("trigger.headers|keys", ["x-id"]),
        ("inputs.names|last", "al"),
        ("trigger.body.text|length", 5),
        ("'ab'|list", ["a", "b"]),
        ("'AbC'|lower", "abc"),
        ("inputs.names|map('upper')|first", "BO"),
        ("inputs.order.lines|map(attribute='qty')", [2, 3]),
        ("inputs.order.lines|map(attribute='gift', default=false)", [False, False]),
        ("inputs.order.lines|max(attribute='qty')|d('?')", ORDER["lines"][1]),  # type: ignore[index]
        ("[3, 1, 2]|min", 1),
        ("[1, 0, 2]|select", [1, 2]),
        ("[1, 2, 3]|select('odd')", [1, 3]),
        ("[1, 2, 3]|reject('gt', 1)", [1]),
        ("inputs.order.lines|selectattr('qty', '>', 2)|map(attribute='sku')", ["a"]),
        ("inputs.order.lines|rejectattr('qty', 'eq', 2)|map(attribute='sku')", ["a"]),
        ("inputs.order.lines|selectattr('gift', 'defined')", []),
        ("inputs.order.lines|selectattr('gift', 'undefined')|length", 2),
        ("'a-b-c'|replace('-', '+', 1)", "a+b-c"),
        ("[1, 2]|reverse", [2, 1]),
        ("2.567|round(2)", 2.57),
        ("2.1|round(0, 'ceil')", 3.0),
        ("'a'|sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("inputs.names|sort", ["Bo", "Cy", "al", "al"]),
        ("inputs.order.lines|sort(attribute='sku')|map(attribute='qty')", [3, 2]),
        ("'a b  c'|split", ["a", "b", "c"]),
        ("'a,b,'|split(',')", ["a", "b", ""]),
        ("[1, none]|string", "[1,null]"),
        ("inputs.order.lines|sum(attribute='qty', start=1)", 6),
        ("'hello world'|title", "Hello World"),
        ("{'a': [1, 'é']}|tojson", '{"a":[1,"é"]}'),
        ("'  a '|trim", "a"),
        ("'--a-'|trim('-')", "a"),
        ("'hello'|truncate(4)", "hel…"),
        ("[1, 1.0, true, 'a', [1], [1]]|unique", [1, True, "a", [1]]),
        ("'a'|upper", "A"),
        ("'a b/é'|urlencode", "a%20b%2F%C3%A9"),
        ("{'q': 'a&b', 'n': 1}|urlencode", "q=a%26b&n=1"),
        ("trigger.headers|values", ["7"]),
        ("0|default(5, true)", 5),
        ("0|default(5)", 0),
        ("3 is odd and 4 is even and 4 is divisibleby 2", True),
        ("none is none and inputs.order.note is null", True),
        ("true is boolean and true is true and 1 is not true", True),
        ("1 is integer and 1.5 is float and 1 is number and true is not number", True),
        ("'a' is string and [] is list and {} is mapping and [] is sequence", True),
        ("'abc' is startswith('ab') and 'abc' is endswith 'c'", True),
        ("'a' is lower and 'A' is upper and 1 is in [1]", True),
    ],
)
def test_a_filter_or_test_does_what_its_name_says(text: str, value: JSON) -> None:
    result = evaluate(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("trigger.body.test is not defined", True),
        ("trigger.body.a.b.c is not defined", True),
        ("nothing.at.all is defined", False),
        ("trigger.body.list[9] is undefined", True),
        ("trigger.body[key].x is defined", False),
        ("trigger.body.a is defined", True),
        ("inputs.order.note is defined", True),
        ("trigger.body.z.y|default('none')", "none"),
        ("inputs.order.note|default('none')", None),
        ("inputs.order.note|d('none', boolean=true)", "none"),
        ("a.b|default(c.d)|default(5)", None),
        ("a.b|default(c.d|default(5))", 5),
        ("inputs.empty|first|default('nothing')", "nothing"),
        ("(inputs.empty|first).name is defined", False),
        ("inputs.order.id|default(missing.name)", "A-1"),
    ],
)
def test_a_name_may_be_missing_only_in_defined_and_default(text: str, value: JSON) -> None:
    if value is None and "c.d)|" in text:
        with pytest.raises(UndefinedName, match=r"^c: "):
            evaluate(text)
    else:
        assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps.custmer.output", "steps.custmer: there is no step 'custmer'; did you mean 'customer'"),
        ("inputs.ordr.total", "inputs.ordr: there is no input 'ordr'; did you mean 'order'"),
        ("trigger.body.lists", "trigger.body.lists: there is no 'lists' in trigger.body; did you mean 'list'"),
        ("trigger.nope", "trigger.nope: there is no 'nope' in trigger; known: body, headers"),
        ("trigr", "trigr: there is no 'trigr'; did you mean 'trigger'"),
        ("inputs.order.note.text", "inputs.order.note.text: inputs.order.note is null and has no items"),
        ("trigger.body.text.upper", "trigger.body.text.upper: trigger.body.text is a text and has no items"),
        ("trigger.body.list[3]", "trigger.body.list[3]: trigger.body.list has only 3 items"),
        (
            "trigger.body.list.length",
            "trigger.body.list.length: trigger.body.list is a list; its items have numbers, not names",
        ),
        (
            "trigger.headers['x-idd']",
            "trigger.headers['x-idd']: there is no 'x-idd' in trigger.headers; did you mean 'x-id'",
        ),
        (
            "inputs.order.lines|map(attribute='sky')",
            "item 0 of the list.sky: there is no 'sky' in item 0 of the list; did you mean 'sku'",
        ),
        ("inputs.empty|first", "inputs.empty|first: the list is empty and has no first"),
        (
            "(trigger.body.missing|upper)|default('x')",
            "trigger.body.missing: there is no 'missing' in trigger.body; known: a, list, text",
        ),
        ("[gone]", "gone: there is no 'gone'; known: inputs, trigger, steps, key"),
        ("gone or true", "gone: there is no 'gone'; known: inputs, trigger, steps, key"),
        ("1 in [] or gone in []", "gone: there is no 'gone'; known: inputs, trigger, steps, key"),
    ],
)
def test_an_undefined_name_is_an_error_with_its_name_and_a_suggestion(text: str, message: str) -> None:
    with pytest.raises(UndefinedName) as caught:
        evaluate(text)
    assert str(caught.value) == caught.value.message == message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "there is no expression"),
        ("{{ }}", (1, 4), "there is no expression"),
        ("1 +", (1, 4), "ends too early"),
        ("(1", (1, 3), "ends too early"),
        ("1)", (1, 2), "unexpected ')'"),
        ("foo bar", (1, 5), "unexpected 'bar'"),
        ("a = b", (1, 3), "'==' compares"),
        ("a && b", (1, 3), "write 'and'"),
        ("a || b", (1, 3), "write 'or'"),
        ("!a", (1, 1), "write 'not'"),
        ("a ? b : c", (1, 3), "write 'a if condition else b'"),
        ("'open", (1, 1), "the text that begins here is not closed"),
        (r"'\d'", (1, 1), "unknown escape"),
        ("1 if key", (1, 1), "has no 'else'"),
        ("key\n  |uper", (2, 4), "there is no filter 'uper'; did you mean 'upper'"),
        ("key is evenn", (1, 5), "there is no test 'evenn'; did you mean 'even'"),
        ("key|replace('a')", (1, 5), "takes old, new, count: missing a required argument: 'new'"),
        ("key|upper(1)", (1, 5), "takes nothing in parentheses"),
        ("key|default", (1, 5), "missing a required argument: 'default'"),
        ("key|upper(*key)", (1, 5), "'*' and '**'"),
        ("key|map('uper')", (1, 5), "there is no filter 'uper'"),
        ("key|map('replace')", (1, 5), "the filter 'replace' takes old, new, count"),
        ("key|selectattr('a', 'evn')", (1, 5), "there is no test 'evn'"),
        ("{{ key", (1, 1), "never closed"),
        ("{{ key }} and", (1, 1), "without text around it"),
        ("{{- key }}", (1, 1), "no whitespace control"),
        ("{{ key -}}", (1, 8), "no whitespace control"),
        ("{{ key|uper }}", (1, 8), "there is no filter"),
        ("secrets.TOKEN", (1, 1), "write it alone in its braces"),
        ("key ~ secrets.TOKEN", (1, 7), "write it alone in its braces"),
        ("key.upper()", (1, 10), "functions cannot be called; write '|upper'"),
        ("10 ** 31", (1, 1), "too large a number"),
        ("1 + 1/0", (1, 5), "divides by zero"),
        ("1e308 * 10", (1, 1), "inf, which is not JSON"),
        ("1e999", (1, 1), "inf, which is not JSON"),
        (r"'\ud800'", (1, 1), "a lone surrogate"),
        ("key + 1", (1, 1), "a text and a number cannot be added; '~' joins anything as text"),
        ("true + 1", (1, 1), "true and a number cannot be added"),
        ("1 < 'a'", (1, 1), "a number and a text have no order"),
        ("none > 1", (1, 1), "null and a number have no order"),
        ("1 in 5", (1, 1), "nothing is in a number"),
        ("{1: 2}", (1, 1), "the keys of a mapping are texts"),
        ("'x'|int", (1, 5), "'x' is not a whole number"),
        ("'1_000'|int", (1, 9), "is not a whole number"),
        ("'nan'|float", (1, 7), "is not a number"),
        ("[1, 'a']|sort", (1, 10), "only numbers, or only texts, can be put in order, not a number and a text"),
        ("5|upper", (1, 3), "expected a text, got a number"),
        ("'%'|b64decode", (1, 5), "not the base64 of a UTF-8 text"),
        ("'{'|fromjson", (1, 5), "this is not JSON"),
    ],
)
def test_an_error_says_what_is_wrong_and_where_it_is(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place


def test_a_message_quotes_the_expression_shortened_to_one_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate("'a'\n  + 1 " + "+ 1 " * 50)
    assert caught.value.message.startswith("'a' + 1 + 1 ")
    assert caught.value.expression is not None
    assert "…: a text and a number" in caught.value.message


def test_holds_returns_the_truth_of_the_value() -> None:
    texts = {"inputs.order.total > 500": True, "inputs.empty": False, "inputs.order.note": False, "steps": True}
    assert {text: Expression.parse(text).holds(SCOPE) for text in texts} == texts


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", (1, 2), object(), "\ud800"])
def test_a_result_that_is_not_json_is_an_error(value: object) -> None:
    with pytest.raises(ExpressionError, match=r"JSON|is not text"):
        evaluate("x", {"x": value})


@pytest.mark.parametrize("text", ["x.output.a", "x.output", "x", "[x]", "x|length == 1 and x.output|d(1)", "x|tojson"])
@pytest.mark.parametrize("error", [ExpressionError("step 'x' was skipped"), PayloadMissing(Value(ref="00", size=9))])
def test_exceptions_from_the_scope_pass_through(text: str, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        evaluate(text, {"x": Lazy(output=error)})
    assert caught.value is error


# -- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1 + 1", set()),
        ("null", set()),
        ("steps.customer.output.body", {("steps", "customer", "output", "body")}),
        ("steps['customer'].output[0]['a b']", {("steps", "customer", "output", "0", "a b")}),
        ("inputs.lines[-1].sku", {("inputs", "lines", "-1", "sku")}),
        ("inputs.lines[index].sku", {("inputs", "lines"), ("index",)}),
        ("a.b if c.d is defined else e|default(f.g)", {("a", "b"), ("c", "d"), ("e",), ("f", "g")}),
        ("[a.x, {'k': b.y}]|map('replace', c.z, 'q')", {("a", "x"), ("b", "y"), ("c", "z")}),
        ("a.b[1:c.d].e", {("a", "b"), ("c", "d")}),
    ],
)
def test_the_names_an_expression_reads_are_known_before_it_runs(text: str, names: set[tuple[str, ...]]) -> None:
    assert Expression.parse(text).names == names


def test_the_position_of_a_name_is_relative_to_the_whole_template() -> None:
    ((_, expression),) = Template.parse("for\n  {{ inputs.a +\n inputs.b }}").expressions
    first, second = (expression.position_of(("inputs", name)) for name in "ab")
    assert (first.line, first.column, second.line, second.column) == (2, 6, 3, 2)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("a.b == 5", [(("a", "b"), 5)]),
        ("'x' != a['b'][0]", [(("a", "b", "0"), "x")]),
        ("a in ['x', b, none]", [(("a",), "x"), (("a",), None)]),
        ("1 < a.b < 2", [(("a", "b"), 1), (("a", "b"), 2)]),
        ("a == b or not c", []),
        ("a[b] == 1 or a | lower == 'x'", []),
    ],
)
def test_an_expression_knows_which_names_it_compares_with_constants(
    text: str, compared: list[tuple[tuple[str, ...], JSON]]
) -> None:
    assert list(Expression.parse(text).comparisons) == compared


# -- templates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "value"),
    [
        ("plain", "plain"),
        ({"a": [1, None, True, "x"]}, {"a": [1, None, True, "x"]}),
        ("{{ inputs.code }}", "1685E6"),
        ("{{ inputs.order.total }}", 700),
        (" {{ inputs.order.total }}", " 700"),
        ("{{ trigger.body.list }}", [1, 2, 3]),
        ("id {{ inputs.order.id }}, {{ inputs.order.total }}!", "id A-1, 700!"),
        ("{{ none }}{{ true }}{{ [1, 2] }}{{ {'a': 0.5} }}", 'nulltrue[1,2]{"a":0.5}'),
        ("{{ inputs.none }} is text", "None is text"),
        ("{% if x %}{# no comment #}{{ 1 }}% }} {", "{% if x %}{# no comment #}1% }} {"),
        ("{{ '}}' }}{{ \"{{\" }}", "}}{{"),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ({"{{ key }}": "{{ key }}"}, {"{{ key }}": "total"}),
        ({"a": {"b": ["{{ key }}", "no"]}, "c": 1}, {"a": {"b": ["total", "no"]}, "c": 1}),
        ("line\r\n{{ 'a' }}\r\n", "line\r\na\r\n"),
        ("{{\r\n key\r\n}}-", "total-"),
    ],
)
def test_a_template_renders_only_its_texts(tree: JSON, value: JSON) -> None:
    rendered, slots = Template.parse(tree).render(SCOPE)
    assert rendered == value
    assert json.dumps(rendered) == json.dumps(value)
    assert slots == ()


def test_a_template_knows_whether_it_is_constant_and_what_it_reads() -> None:
    constant = Template.parse({"a": ["{% x %}", "}}"], "{{ k }}": 1})
    assert constant.is_constant
    assert constant.names == frozenset()
    reading = Template.parse({"a": ["{{ inputs.a }} {{ steps.b.output }}"], "c": "{{ 1 }}"})
    assert not reading.is_constant
    assert reading.names == {("inputs", "a"), ("steps", "b", "output")}
    assert [pointer for pointer, _ in reading.expressions] == [("a", 0), ("a", 0), ("c",)]


def test_a_secret_becomes_a_placeholder_next_to_the_json() -> None:
    template = Template.parse(
        {
            "headers": {"Authorization": "Bearer {{ secrets.TOKEN }}", "plain": "{{ key }}"},
            "list": ["{{ secrets['B_2'] }}", "{{ key }}:{{ inputs.code }}@{{ secrets.C }}/{{secrets.C}}"],
        }
    )
    rendered, slots = template.render(SCOPE)
    assert rendered == {"headers": {"Authorization": None, "plain": "total"}, "list": [None, None]}
    assert slots == (
        SecretPlaceholder(("headers", "Authorization"), ("Bearer ", SecretName("TOKEN"))),
        SecretPlaceholder(("list", 0), (SecretName("B_2"),)),
        SecretPlaceholder(("list", 1), ("total:1685E6@", SecretName("C"), "/", SecretName("C"))),
    )
    assert template.secrets == {"TOKEN", "B_2", "C"}
    assert not template.is_constant


def test_a_payload_that_imitates_a_secret_stays_text() -> None:
    rendered, slots = Template.parse({"a": "{{ x }}", "b": "-{{ x }}"}).render({"x": "{{ secrets.TOKEN }}"})
    assert rendered == {"a": "{{ secrets.TOKEN }}", "b": "-{{ secrets.TOKEN }}"}
    assert slots == ()


@pytest.mark.parametrize(
    "text",
    [
        "{{ secrets.A ~ 'x' }}",
        "{{ secrets }}",
        "{{ secrets|tojson }}",
        "{{ secrets.A|upper }}",
        "{{ secrets.A|default('x') }}",
        "{{ secrets.A is defined }}",
        "{{ secrets.A.b }}",
        "{{ secrets[key] }}",
        "{{ secrets.A if key else 1 }}",
        "{{ [secrets.A] }}",
        "{{ secrets['A B'] }}",
        "{{ secrets.é }}",
    ],
)
def test_a_secret_inside_a_larger_expression_is_rejected(text: str) -> None:
    with pytest.raises(ExpressionError, match="secret"):
        Template.parse(f"text {text}")


def test_a_tree_is_rejected_with_its_first_problem() -> None:
    with pytest.raises(ExpressionError, match="uper") as caught:
        Template.parse({"a": ["ok", "first\n {{ key|uper }}"], "b": {"c": "{{ 1 +"}})
    assert (caught.value.line, caught.value.column) == (2, 9)


def test_an_error_in_a_template_has_its_position_in_the_text() -> None:
    with pytest.raises(UndefinedName) as caught:
        Template.parse({"a": "one\ntwo {{ 1 +\n  inputs.x }}"}).render(SCOPE)
    assert (caught.value.line, caught.value.column) == (3, 3)
