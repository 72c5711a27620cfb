"""Secrets are read from where they are set and inserted only into their placeholders."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from durable.history.words import SecretName, SecretPlaceholder
from durable.redactor import MARK
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.values import JSON

PLAIN_CANARY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


# -- looking up -------------------------------------------------------------------------------------------------


def test_a_secret_is_read_from_its_variable() -> None:
    assert Secrets({"WAYPOST_SECRET_SHOP": "s3cret"}).get("SHOP") == "s3cret"


@pytest.mark.parametrize(
    ("content", "value"), [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), ("abc", "abc"), ("a b ", "a b ")]
)
def test_a_secret_from_a_file_loses_only_its_final_newline(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "shop").write_bytes(content.encode())
    assert Secrets({"WAYPOST_SECRET_SHOP_FILE": str(tmp_path / "shop")}).get("SHOP") == value


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "shop"
    file.write_text("before")
    secrets = Secrets({"WAYPOST_SECRET_SHOP_FILE": str(file)})
    assert secrets.get("SHOP") == "before"
    file.write_text("after!")
    assert secrets.get("SHOP") == "after!"
    assert secrets.redactor.redact_text("before, after!") == f"{MARK}, {MARK}"


def test_the_variable_takes_precedence_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("from the file")
    environment = {"WAYPOST_SECRET_SHOP": "from the variable", "WAYPOST_SECRET_SHOP_FILE": str(tmp_path / "shop")}
    assert Secrets(environment).get("SHOP") == "from the variable"


def test_the_error_about_a_missing_secret_names_both_ways_to_set_it() -> None:
    with pytest.raises(SecretMissing, match="secret SHOP is not set") as missing:
        Secrets({}).get("SHOP")
    assert "WAYPOST_SECRET_SHOP," in str(missing.value)
    assert "WAYPOST_SECRET_SHOP_FILE" in str(missing.value)
    assert missing.value.name == "SHOP"


def test_an_empty_secret_counts_as_missing() -> None:
    with pytest.raises(SecretMissing, match="SHOP is empty"):
        Secrets({"WAYPOST_SECRET_SHOP": ""}).get("SHOP")


def test_an_unusable_file_is_a_missing_secret_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in [
        ("none", "No such file"),
        ("bytes", "not UTF-8"),
        ("pipe", "not a regular file"),
        ("", "not a"),
    ]:
        with pytest.raises(SecretMissing, match=reason):
            Secrets({"WAYPOST_SECRET_SHOP_FILE": str(tmp_path / name)}).get("SHOP")


def test_names_lists_only_secrets_and_has_says_which_can_be_read(tmp_path: Path) -> None:
    environment = {
        "WAYPOST_SECRET_B": "bbbb",
        "WAYPOST_SECRET_A_FILE": str(tmp_path / "none"),
        "WAYPOST_PORT": "1",
        "PATH": "/bin",
    }
    secrets = Secrets(environment)
    assert secrets.names() == ("A", "B")
    assert [secrets.has(name) for name in ("A", "B", "C")] == [False, True, False]


def test_the_path_of_a_secret_file_is_never_used_as_the_value() -> None:
    assert not Secrets({"WAYPOST_SECRET_SHOP_FILE": "/run/secrets/shop"}).has("SHOP_FILE")


# -- filling ----------------------------------------------------------------------------------------------------


def test_placeholders_are_filled_in_a_copy() -> None:
    secrets = Secrets({"WAYPOST_SECRET_A": "aaaa", "WAYPOST_SECRET_B": "bbbb"})
    value: JSON = {"headers": {"x": "1"}, "list": [{}, {"password": None}]}
    before = json.dumps(value)
    slots = [
        SecretPlaceholder(("headers", "Authorization"), ("Bearer ", SecretName("A"), ":", SecretName("B"))),
        SecretPlaceholder(("list", 1, "password"), (SecretName("B"),)),
    ]
    assert fill_secrets(value, slots, secrets) == (
        {"headers": {"x": "1", "Authorization": "Bearer aaaa:bbbb"}, "list": [{}, {"password": "bbbb"}]},
        frozenset({"aaaa", "bbbb"}),
    )
    assert json.dumps(value) == before


def test_a_placeholder_can_be_the_whole_input() -> None:
    filled, used = fill_secrets(
        None, [SecretPlaceholder((), (SecretName("A"),))], Secrets({"WAYPOST_SECRET_A": "aaaa"})
    )
    assert filled == "aaaa"
    assert used == {"aaaa"}


def test_a_payload_that_imitates_a_reference_stays_data() -> None:
    secrets = Secrets({"WAYPOST_SECRET_A": PLAIN_CANARY})
    slot = SecretPlaceholder(("key",), (SecretName("A"),))
    imitation = msgspec.to_builtins(slot)
    payload: dict[str, JSON] = {"text": "{{ secrets.A }}", "slot": imitation, "secret": "A", "key": None}
    filled, used = fill_secrets(payload, [slot], secrets)
    assert filled == {**payload, "key": PLAIN_CANARY}
    assert used == {PLAIN_CANARY}
    assert fill_secrets(payload, [], secrets) == (payload, frozenset())


@pytest.mark.parametrize("pointer", [("no", "where"), ("list", 3), ("list", "x"), ("text", "x"), (0,)])
def test_a_placeholder_without_a_position_is_an_error(pointer: tuple[str | int, ...]) -> None:
    with pytest.raises(LookupError, match="in which a secret could stand"):
        fill_secrets(
            {"list": [1], "text": "t"},
            [SecretPlaceholder(pointer, (SecretName("A"),))],
            Secrets({"WAYPOST_SECRET_A": "aaaa"}),
        )


def test_filling_a_missing_secret_raises_it() -> None:
    with pytest.raises(SecretMissing):
        fill_secrets({}, [SecretPlaceholder(("a",), (SecretName("A"),))], Secrets({}))
