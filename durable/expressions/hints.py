"""Hints for the syntax of other expression and template languages: what to write instead."""

import re
from collections.abc import Mapping

_NO_PATTERNS = "patterns are not supported; compare parts of a text, such as a[:3] == 'abc'"
_NO_FUNCTIONS = "functions are not supported; write a filter, such as '|map' or '|select'"
_TIMES = "times are texts, such as 2026-12-24T18:00:00Z; a[:10] is the date of one"

SIGNS: Mapping[str, str] = {
    "===": "write '=='",
    "!==": "write '!='",
    "&&": "write 'and'",
    "||": "write 'or'",
    "??": "write 'a | default(b)'",
    "?.": "write '.'; 'a.b | default(none)' is null where there is no 'b'",
    "<>": "write '!='",
    "=>": _NO_FUNCTIONS,
    "%}": "an expression ends with '}}'",
    "} }": "an expression ends with '}}', without a space",
    "}": "an expression ends with two: '}}'",
    "!": "write 'not'",
    "&": "write 'and'",
    "=~": _NO_PATTERNS,
    "=": "'==' compares",
    "?": "write 'a if condition else b'",
    ";": "an expression has no ';'; remove it",
    ",": "an expression has one value; a list is [a, b]",
    "`": "write texts in ' or \"",
    "“": "write texts in ' or \"",
    "”": "write texts in ' or \"",
    "‘": "write texts in ' or \"",
    "’": "write texts in ' or \"",
    "#": "comments and statements are not supported in expressions",
    "$": "names have no prefix; remove it; read the request's body as trigger.body, a step's output as steps.ID.output",
    "@": "names have no prefix; remove it",
}
"""Signs that the language does not have in any position, or in this one; longer signs come first."""

QUOTES = "end it with the quote that it begins with; write a text that contains ' in \""

WORDS: Mapping[str, str] = {
    "AND": "write 'and'",
    "OR": "write 'or'",
    "NOT": "write 'not'",
    "IN": "write 'in'",
    "IS": "write 'is'",
    "contains": "write 'b in a'",
    "includes": "write 'b in a'",
    "has": "write 'b in a'",
    "startswith": "write 'a is startswith b'",
    "starts": "write 'a is startswith b'",
    "startsWith": "write 'a is startswith b'",
    "endswith": "write 'a is endswith b'",
    "ends": "write 'a is endswith b'",
    "endsWith": "write 'a is endswith b'",
    **dict.fromkeys(("matches", "like", "LIKE", "regex"), _NO_PATTERNS),
    **dict.fromkeys(("lambda", "function"), _NO_FUNCTIONS),
    "for": "'|map' and '|select' work on lists, and 'foreach' is a step",
    "then": "write 'a if condition else b'",
    "eq": "write '=='",
    "ne": "write '!='",
    "gt": "write '>'",
    "ge": "write '>='",
    "lt": "write '<'",
    "le": "write '<='",
}

STATEMENTS: Mapping[str, str] = {
    "if": "statements are not supported; write 'a if condition else b'",
    "for": "statements are not supported; '|map' and '|select' work on lists, and 'foreach' is a step",
    "set": "statements are not supported; a step with 'use: transform.set' computes values",
}

CALLS: Mapping[str, str] = {
    **dict.fromkeys(("toLowerCase", "toLower", "lowercase", "downcase"), "write '|lower'"),
    **dict.fromkeys(("toUpperCase", "toUpper", "uppercase", "upcase"), "write '|upper'"),
    **dict.fromkeys(("strip", "trimmed"), "write '|trim'"),
    **dict.fromkeys(("len", "size", "length"), "write '|length'"),
    **dict.fromkeys(("startsWith", "startswith"), "write 'a is startswith b'"),
    **dict.fromkeys(("endsWith", "endswith"), "write 'a is endswith b'"),
    **dict.fromkeys(("contains", "includes", "has"), "write 'b in a'"),
    **dict.fromkeys(("str", "String", "toString"), "write '|string'"),
    **dict.fromkeys(("parseInt", "Number"), "write '|int'"),
    **dict.fromkeys(("parseFloat",), "write '|float'"),
    **dict.fromkeys(("toJson", "toJSON", "stringify", "dumps"), "write '|tojson'"),
    **dict.fromkeys(("fromJson", "fromJSON", "loads"), "write '|fromjson'"),
    **dict.fromkeys(("slice", "substring", "substr"), "write a[start:end]"),
    **dict.fromkeys(("concat", "format"), "write a ~ b, or put expressions into a text"),
    **dict.fromkeys(("encodeURIComponent", "urlencode"), "write '|urlencode'"),
    "get": "write a.b | default(c)",
    "filter": "write '|select' or '|selectattr'",
    "push": "write a + [b]",
    **dict.fromkeys(("now", "Date", "today", "utcnow"), "run.started_at and trigger.time are times"),
}
"""Functions and methods by name."""

FILTERS: Mapping[str, str] = {
    "upcase": "upper",
    "uppercase": "upper",
    "downcase": "lower",
    "lowercase": "lower",
    "strip": "trim",
    "size": "length",
    "len": "length",
    "json": "tojson",
    "to_json": "tojson",
    "toJson": "tojson",
    "from_json": "fromjson",
    "parse_json": "fromjson",
    "url_encode": "urlencode",
    "base64": "b64encode",
    "base64_encode": "b64encode",
    "base64_decode": "b64decode",
    "str": "string",
    "integer": "int",
    "uniq": "unique",
    "where": "selectattr",
    "concat": "join",
}
"""Filters of other languages, and their equivalents here."""

FILTER_HINTS: Mapping[str, str] = {
    **dict.fromkeys(("slice", "substring", "substr", "left", "right"), "write a[start:end]"),
    **dict.fromkeys(("date", "datetime", "strftime", "format_date", "dateformat", "date_format"), _TIMES),
    **dict.fromkeys(("e", "escape", "safe"), "texts are not escaped; remove it"),
    **dict.fromkeys(("format", "append", "prepend"), "write a ~ b, or put expressions into a text"),
    **dict.fromkeys(("match", "regex", "regex_replace", "regex_search", "search"), _NO_PATTERNS),
}
"""Filters of other languages that have no equivalent here."""

TESTS: Mapping[str, str] = {
    **dict.fromkeys(("empty", "blank"), "write 'not a', which is true of an empty text, list or mapping"),
    **dict.fromkeys(("contains", "containing", "including"), "write 'b in a'"),
    **dict.fromkeys(("present", "set", "exists"), "write 'a is defined'"),
    **dict.fromkeys(("array", "iterable"), "write 'a is list'"),
    **dict.fromkeys(("object", "dict"), "write 'a is mapping'"),
    **dict.fromkeys(("nil", "undefined_or_null"), "write 'a is none'"),
    "matching": _NO_PATTERNS,
    "int": "write 'a is integer'",
    "str": "write 'a is string'",
    "bool": "write 'a is boolean'",
}


def find_sign(text: str, offset: int) -> tuple[str, int] | None:
    """Return the foreign sign at which the lexer stopped, and its offset; the lexer may stop at its second
    character."""
    for sign in SIGNS:
        for start in range(offset, offset - len(sign), -1):
            if start >= 0 and text.startswith(sign, start):
                return sign, start
    return None


def suggest_arguments(text: str, offset: int) -> str | None:
    """Suggest what to write for the `:` of Liquid's `| default: 5`."""
    found = re.search(r"\|\s*(\w+)\s*$", text[:offset]) if text.startswith(":", offset) else None
    return f"write the arguments of a filter in parentheses: {found[1]}(…)" if found else None
