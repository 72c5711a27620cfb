"""Settings come from a file, the environment and options; a mistake is reported with its position."""

import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from triggers.settings import Settings, SettingsError, load_api_key

SHIPPED = Path(__file__).parent.parent.parent / "config"


def load(
    config: Path,
    toml: str | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    if toml is not None:
        (config / "settings.toml").write_text(toml)
    return Settings.load(config, environment or {}, overrides or {})


def problems(config: Path, toml: str, environment: Mapping[str, str] | None = None, **overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(config, toml, environment, overrides)
    return str(error.value).replace(f"{config}/", "").splitlines()


# -- where a setting comes from ---------------------------------------------------------------------------------


def test_every_setting_has_its_default_without_a_file(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()
    assert (Settings().host, Settings().port, Settings().drain_timeout) == ("127.0.0.1", 8400, 30_000)


def test_a_variable_overrides_the_file_and_an_option_overrides_both(tmp_path: Path) -> None:
    toml = 'port = 1\nhost = "a"\nlog_level = "debug"'
    settings = load(tmp_path, toml, {"WAYPOST_PORT": "2", "WAYPOST_HOST": "b"}, {"port": 3})
    assert (settings.port, settings.host, settings.log_level) == (3, "b", "debug")


def test_an_empty_variable_and_an_absent_option_count_as_unset(tmp_path: Path) -> None:
    settings = load(tmp_path, "port = 1", {"WAYPOST_PORT": "", "WAYPOST_API_KEY": " "}, {"port": None, "host": None})
    assert (settings.port, settings.host, settings.api_key) == (1, "127.0.0.1", None)


@pytest.mark.parametrize("toml", ['["10.0.0.0/8", "::1", "CRM.internal"]', '"10.0.0.0/8, ::1 CRM.internal,"'])
def test_a_list_may_be_written_as_comma_separated_text(tmp_path: Path, toml: str) -> None:
    settings = load(tmp_path, f"egress_allow = {toml}")
    assert settings.egress_allow == ("10.0.0.0/8", "::1/128", "crm.internal")
    assert load(tmp_path, "", {"WAYPOST_EGRESS_ALLOW": "127.0.0.1/8"}).egress_allow == ("127.0.0.0/8",)


def test_durations_are_stored_as_milliseconds(tmp_path: Path) -> None:
    settings = load(tmp_path, 'drain_timeout = "0s"\nrun_timeout = "2h"', {"WAYPOST_BODY_TIMEOUT": "500ms"})
    assert (settings.drain_timeout, settings.run_timeout, settings.body_timeout) == (0, 7_200_000, 500)


def test_a_public_url_loses_its_final_slash(tmp_path: Path) -> None:
    assert load(tmp_path, 'public_url = "https://hooks.example.com/way/"').public_url == "https://hooks.example.com/way"


def test_an_unknown_variable_is_a_warning(tmp_path: Path) -> None:
    environment = {
        "WAYPOST_PROT": "1",
        "WAYPOST_QXZ": "1",
        "WAYPOST_SECRET_SHOP": "s",
        "WAYPOST_DATA": "/data",
        "PATH": "/bin",
    }
    assert load(tmp_path, "", environment).unknown == (
        "WAYPOST_PROT is not a setting; did you mean WAYPOST_PORT",
        "WAYPOST_QXZ is not a setting",
    )


# -- mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("port = 99999", "port is '99999': must be at most 65535"),
        ('port = "many"', "port is 'many': must be a whole number"),
        ("drain_timeout = 30", "drain_timeout is '30': should be text with a unit"),
        ('drain_timeout = "30"', "'30' has no unit"),
        ('body_timeout = "0s"', "must be more than 0"),
        ('log_format = "xml"', "log_format is 'xml': must be 'auto', 'text' or 'json'"),
        ('egress_allow = ["http://crm"]', "'http://crm' should be a host name or a network"),
        ('egress_allow = "10.0.0.0/99"', "10.0.0.0/99"),
        ('public_url = "example.com"', "should be an address such as https://waypost.example.com"),
        ("prot = 1", "'prot' is not a setting; did you mean port"),
        ("[server]\nport = 1", "'server' is not a setting"),
    ],
)
def test_an_error_names_the_setting_the_file_and_what_is_allowed(tmp_path: Path, toml: str, message: str) -> None:
    (problem,) = problems(tmp_path, toml)
    assert problem.startswith("settings.toml: ")
    assert message in problem


def test_an_error_names_the_variable_or_option_that_caused_it(tmp_path: Path) -> None:
    found = problems(tmp_path, "port = 1", {"WAYPOST_LOG_LEVEL": "loud"}, port=-1, max_live_runs="few")
    assert [problem.split(":")[0] for problem in found] == ["--port", "--max-live-runs", "WAYPOST_LOG_LEVEL"]


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "port = 1\nhost = localhost\n")
    assert problem.startswith("settings.toml is not TOML: ")
    assert "line 2" in problem


def test_a_byte_order_mark_in_the_settings_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"\xef\xbb\xbfport = 8401")
    assert load(tmp_path).port == 8401


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b'host = "\xff"')
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path)
    (tmp_path / "settings.toml").unlink()
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_an_unsupported_database_is_rejected_without_showing_its_password(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "", {"WAYPOST_DATABASE_URL": "postgresql://me:hunter2@db/waypost"})
    assert problem.startswith("WAYPOST_DATABASE_URL: database_url: only the SQLite file")
    assert "hunter2" not in problem


def test_neither_messages_nor_reprs_show_the_api_key(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "", {"WAYPOST_API_KEY": "hunter2 and spaces"})
    assert "hunter2" not in problem
    assert "hunter2" not in repr(load(tmp_path, "", {"WAYPOST_API_KEY": "hunter2"}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://me:hunter2@proxy.internal:3128", "should hold no user or password: set WAYPOST_SECRET_EGRESS_PROXY"),
        ("https://proxy.internal:3128", "should be an address such as http://proxy.internal:3128"),
        ("socks5://proxy.internal", "should be an address such as http://proxy.internal:3128"),
        ("proxy.internal:3128", "should be an address such as http://proxy.internal:3128"),
        ("http://proxy.internal:3128/path", "should be an address such as http://proxy.internal:3128"),
        ("http://:3128", "should be an address such as http://proxy.internal:3128"),
        ("http://proxy.internal:0", "should have a port from 1 to 65535"),
        ("http://proxy.internal:99999", "should have a port from 1 to 65535"),
    ],
)
def test_an_unusable_proxy_is_reported_without_its_password(tmp_path: Path, url: str, expected: str) -> None:
    (problem,) = problems(tmp_path, "", {"WAYPOST_EGRESS_PROXY": url})
    assert problem == f"WAYPOST_EGRESS_PROXY: egress_proxy: {problem.partition(': egress_proxy: ')[2]}"
    assert expected in problem
    assert "hunter2" not in problem


def test_proxy_environment_variables_are_ignored_with_a_warning(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://me:hunter2@x", "http_proxy": "http://x", "NO_PROXY": "y", "ALL_PROXY": ""}
    (warning,) = load(tmp_path, "", environment).unknown
    assert warning == "HTTPS_PROXY, http_proxy: not read; for steps to call through a proxy, set WAYPOST_EGRESS_PROXY"
    assert load(tmp_path, "", environment | {"WAYPOST_EGRESS_PROXY": "http://x:1"}).unknown == ()


# -- the shipped file -------------------------------------------------------------------------------------------


def test_the_shipped_file_lists_every_setting_with_its_default_and_a_reason() -> None:
    text = (SHIPPED / "settings.toml").read_text()
    listed = re.findall(r"^# (.+)\n#(\w+) = (.+)$", text, re.MULTILINE)
    assert [(name, why) for why, name, _ in listed] == [
        (name, field.description) for name, field in Settings.model_fields.items()
    ]
    assert tomllib.loads(text) == {}


def test_the_defaults_in_the_shipped_file_are_the_actual_defaults(tmp_path: Path) -> None:
    lines = re.findall(r"^#(\w+ = .+)$", (SHIPPED / "settings.toml").read_text(), re.MULTILINE)
    settings = load(tmp_path, "\n".join(line for line in lines if '"<' not in line))
    assert settings == Settings()
    assert [line.split()[0] for line in lines if '"<' in line] == [
        name for name, field in Settings.model_fields.items() if field.default is None
    ]


# -- the API key ------------------------------------------------------------------------------------------------


def test_a_configured_key_needs_no_file(tmp_path: Path) -> None:
    assert load_api_key(tmp_path, load(tmp_path, 'api_key = "chosen"')) == ("chosen", None)
    assert not (tmp_path / "api.key").exists()


def test_a_generated_key_file_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    key, path = load_api_key(tmp_path, Settings())
    assert path == tmp_path / "api.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(key) >= 40
    assert path.read_text() == f"{key}\n"
    assert load_api_key(tmp_path, Settings()) == (key, path)


def test_every_data_folder_has_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert load_api_key(tmp_path, Settings())[0] != load_api_key(tmp_path / "other", Settings())[0]


def test_the_error_about_an_unusable_key_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "api.key").touch()
    with pytest.raises(SettingsError, match=r"api\.key is empty: delete it"):
        load_api_key(tmp_path, Settings())
    with pytest.raises(SettingsError, match="cannot be used"):
        load_api_key(tmp_path / "nowhere", Settings())
