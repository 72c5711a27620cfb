"""Variables that Kubernetes and Docker set for a service named `waypost` are neither settings nor secrets."""

from pathlib import Path

import pytest

from durable.secrets import SecretMissing, Secrets
from triggers.settings import Settings, SettingsError


def links(service: str, protocol: str = "tcp", address: str = "10.0.0.1", port: str = "8400") -> dict[str, str]:
    """The variables that Kubernetes sets for a Service with one named port."""
    url, one = f"{protocol}://{address}:{port}", f"{service}_PORT_{port}_{protocol.upper()}"
    return {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": port,
        f"{service}_SERVICE_PORT_HTTP": port,
        f"{service}_PORT": url,
        one: url,
        f"{one}_PROTO": protocol,
        f"{one}_PORT": port,
        f"{one}_ADDR": address,
    }


SERVICES = [
    links("WAYPOST"),
    links("WAYPOST", "udp"),
    links("WAYPOST", address="[fd00::1]"),
    links("WAYPOST_API"),
    links("WAYPOST_API_KEY"),
    links("WAYPOST_HOST"),
    links("WAYPOST_DATA"),
    links("WAYPOST_WEBHOOK_RATE"),
    links("WAYPOST_PORT"),
    links("WAYPOST_2", port="80"),
    links("WAYPOST") | links("WAYPOST_POSTGRES", port="5432"),
    {"WAYPOST_PORT": "tcp://172.17.0.5:8400"},
    {"WAYPOST_SERVICE_HOST": "10.0.0.1"},
]


@pytest.mark.parametrize("variables", SERVICES)
def test_service_link_variables_are_not_settings(tmp_path: Path, variables: dict[str, str]) -> None:
    settings = Settings.load(tmp_path, variables, {})
    assert settings.unknown == ()
    assert settings.service_variables == tuple(sorted(variables))
    assert settings.model_dump() == Settings.load(tmp_path, {}, {}).model_dump()


@pytest.mark.parametrize("variables", SERVICES)
def test_settings_next_to_service_link_variables_are_read(tmp_path: Path, variables: dict[str, str]) -> None:
    settings = Settings.load(tmp_path, variables | {"WAYPOST_LOG_LEVEL": "debug", "WAYPOST_PROT": "1"}, {"port": 9000})
    assert (settings.log_level, settings.port) == ("debug", 9000)
    assert [each.split()[0] for each in settings.unknown] == ["WAYPOST_PROT"]


@pytest.mark.parametrize("value", ["8400x", "http://10.0.0.1:8400", "tcp:8400", "-1"])
def test_an_invalid_port_that_is_not_a_service_link_is_still_rejected(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="WAYPOST_PORT: port is"):
        Settings.load(tmp_path, {"WAYPOST_PORT": value}, {})


def test_service_link_variables_are_not_secrets_and_redact_nothing_in_logs() -> None:
    secrets = Secrets(links("WAYPOST_SECRET") | {"WAYPOST_SECRET_DEMO": "demo-secret"})
    assert secrets.names() == ("DEMO",)
    assert secrets.redactor.redact_text("10.0.0.1:8400 demo-secret") == "10.0.0.1:8400 ***"
    with pytest.raises(SecretMissing, match="Kubernetes"):
        secrets.get("SERVICE_HOST")


def test_a_secret_with_a_service_link_name_is_a_secret_without_a_service_link(tmp_path: Path) -> None:
    variables = {"WAYPOST_SECRET_SERVICE_HOST": "db.internal", "WAYPOST_SECRET_DB_PORT": "5432"}
    secrets = Secrets(variables)
    assert Settings.load(tmp_path, variables, {}).service_variables == ()
    assert secrets.get("SERVICE_HOST") == "db.internal"
    assert secrets.get("DB_PORT") == "5432"
