"""Queries and forms are percent-decoded as `urllib` decodes them, and repeated names become lists."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.charsets import find_charset
from triggers.http.urlencoded import TooManyFields, collect_pairs, decode_pairs, split_pairs

PIECES = st.sampled_from(
    ["%", "%E9", "%3D", "=", "&", "+", "a", "\n", "\r\n", "_", "%0a", "%20", "%zz", "é", "%26", "."]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_pairs_are_parsed_as_by_the_standard_library(text: str) -> None:
    read = decode_pairs(split_pairs(text.encode("latin-1"), 1_000), find_charset("iso-8859-5"))
    assert read == parse_qsl(text.encode("latin-1").decode("iso-8859-5"), keep_blank_values=True, encoding="iso-8859-5")


def test_a_repeated_name_becomes_a_list() -> None:
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "1,2"), ("", "")]
    assert collect_pairs(pairs) == {"a": ["1", "3", "1,2"], "b": "2", "": ""}


def test_fields_are_counted_before_they_are_parsed() -> None:
    assert len(split_pairs(b"a&" * 9 + b"b", 10)) == 10
    with pytest.raises(TooManyFields, match="more than the 10 fields"):
        split_pairs(b"a&" * 10 + b"b", 10)
