"""An expression for every filter, test and operator of the language; the reference shows their results."""

from collections.abc import Callable, Mapping

from durable.expressions.expression import Expression
from durable.values import JSON, encode

INPUTS: Mapping[str, JSON] = {
    "name": "ada lovelace",
    "total": 12.5,
    "tags": ["b", "a", "b"],
    "lines": [{"sku": "x", "n": 2}, {"sku": "y", "n": 1}],
    "sizes": {"m": 2, "l": 1},
    "note": None,
}
"""What the examples read."""

FILTERS = {
    "abs": "-3 | abs",
    "b64decode": "'aGk=' | b64decode",
    "b64encode": "'hi' | b64encode",
    "capitalize": "inputs.name | capitalize",
    "default": "inputs.city | default('Berlin')",
    "dictsort": "inputs.sizes | dictsort",
    "first": "inputs.tags | first",
    "float": "'2.5' | float",
    "fromjson": """'{"a": 1}' | fromjson""",
    "int": "'12' | int",
    "items": "inputs.sizes | items",
    "join": "inputs.tags | join(', ')",
    "keys": "inputs.sizes | keys",
    "last": "inputs.tags | last",
    "length": "inputs.tags | length",
    "list": "'abc' | list",
    "lower": "'ADA' | lower",
    "map": "inputs.lines | map(attribute='sku')",
    "max": "inputs.lines | max(attribute='n')",
    "min": "[3, 1, 2] | min",
    "raw_path": "'a b/c' | raw_path",
    "reject": "[1, 2, 3] | reject('odd')",
    "rejectattr": "inputs.lines | rejectattr('n', 'gt', 1)",
    "replace": "inputs.name | replace(' ', '-')",
    "reverse": "inputs.tags | reverse",
    "round": "12.345 | round(1)",
    "select": "[1, 2, 3] | select('odd')",
    "selectattr": "inputs.lines | selectattr('n', 'gt', 1)",
    "sha256": "'hi' | sha256 | truncate(12)",
    "sort": "inputs.lines | sort(attribute='n')",
    "split": "'a,b' | split(',')",
    "string": "12.5 | string",
    "sum": "inputs.lines | sum(attribute='n')",
    "title": "inputs.name | title",
    "tojson": "inputs.sizes | tojson",
    "trim": "'  hi ' | trim",
    "truncate": "inputs.name | truncate(5)",
    "unique": "inputs.tags | unique",
    "upper": "inputs.name | upper",
    "urlencode": "'a b/c' | urlencode",
    "values": "inputs.sizes | values",
}
"""By the filter's name; one that has two names stands under the longer."""

TESTS = {
    "eq": "1 is eq 1",
    "ne": "1 is ne 2",
    "lt": "1 is lt 2",
    "le": "2 is le 2",
    "gt": "2 is gt 1",
    "ge": "2 is ge 2",
    "boolean": "true is boolean",
    "defined": "inputs.city is defined",
    "divisibleby": "9 is divisibleby 3",
    "endswith": "inputs.name is endswith 'lace'",
    "even": "2 is even",
    "false": "false is false",
    "float": "inputs.total is float",
    "in": "'a' is in inputs.tags",
    "integer": "inputs.total is integer",
    "list": "inputs.tags is list",
    "lower": "inputs.name is lower",
    "mapping": "inputs.sizes is mapping",
    "none": "inputs.note is none",
    "null": "inputs.note is null",
    "number": "inputs.total is number",
    "odd": "2 is odd",
    "sequence": "inputs.tags is sequence",
    "startswith": "inputs.name is startswith 'ada'",
    "string": "inputs.name is string",
    "true": "'true' is true",
    "undefined": "inputs.city is undefined",
    "upper": "inputs.name is upper",
}

SIGNS = {
    "`.` `[ ]`": "inputs.lines[0].sku",
    "`[a:b]`": "inputs.tags[:2]",
    "`+` `-` `*` `/`": "inputs.total * 2 + 1",
    "`//` `%` `**`": "[7 // 2, 7 % 2, 2 ** 3]",
    "`~`": "inputs.total ~ ' EUR'",
    "`==` `!=` `<` `<=` `>` `>=`": "1 < inputs.total <= 20",
    "`in` `not in`": "'x' not in inputs.tags",
    "`and` `or` `not`": "not inputs.note and inputs.total > 10",
    "`a if b else c`": "'large' if inputs.total > 100 else 'small'",
    "`|`": "inputs.name | title | length",
    "`is` `is not`": "inputs.total is not string",
    "`[ ]` `{ }`": "{'name': inputs.name, 'sizes': [1, 2]}",
}


def scope() -> str:
    """The inputs as a block of YAML."""
    return "\n".join(["```yaml", *(f"{name}: {encode(value).decode()}" for name, value in INPUTS.items()), "```"])


def shown(expression: str) -> str:
    """The result of an example as JSON."""
    return encode(Expression.parse(expression).evaluate({"inputs": INPUTS})).decode()


def group_names(table: Mapping[str, Callable[..., object]], examples: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """All names of each function in the table, by the name of its example."""
    found: dict[str, tuple[str, ...]] = {}
    for function in dict.fromkeys(table.values()):
        names = tuple(name for name in table if table[name] is function)
        known = [name for name in names if name in examples]
        if not known:
            raise LookupError(f"{' or '.join(names)} has no example: add one to tests/docs/examples.py")
        found[known[0]] = names
    return found
