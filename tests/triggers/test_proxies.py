"""Which client a request comes from, behind proxies that are trusted or not."""

from pathlib import Path

import httpx
import pytest

from tests.service.running import ENVIRONMENT, running
from triggers.http.proxies import HOPS_LIMIT, TrustedProxies
from triggers.settings import Settings, SettingsError

TRUSTED = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fd00::1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, nobody"], "10.0.0.1"),
        ("10.0.0.1", ["nobody, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", [",".join(["203.0.113.7", *["10.0.0.9"] * HOPS_LIMIT])], "10.0.0.9"),
        ("203.0.113.9", ["203.0.113.7"], "203.0.113.9"),
        ("", ["203.0.113.7"], ""),
    ],
)
def test_the_client_is_the_last_address_in_front_of_the_trusted_ones(
    peer: str, forwarded: list[str], client: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    found = TRUSTED.find_client({"client": (peer, 1), "headers": headers})
    assert found is not None
    assert found[0] == client
    assert TRUSTED.find_client({"client": None, "headers": headers}) is None


def test_a_setting_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    loaded = Settings.load(tmp_path, {"WAYPOST_TRUSTED_PROXIES": "10.1.2.3/8, ::1"}, {})
    assert loaded.trusted_proxies == ("10.0.0.0/8", "::1/128")
    with pytest.raises(SettingsError, match=r"WAYPOST_TRUSTED_PROXIES: .*'proxy' should be an address or a network"):
        Settings.load(tmp_path, {"WAYPOST_TRUSTED_PROXIES": "proxy"}, {})


@pytest.mark.anyio
@pytest.mark.parametrize(("trusted", "status"), [("", 429), ("127.0.0.1", 404)])
async def test_rates_count_the_clients_behind_a_trusted_proxy(tmp_path: Path, trusted: str, status: int) -> None:
    async with (
        running(tmp_path, {}, ENVIRONMENT, keyless_rate="1/1h", trusted_proxies=trusted) as service,
        httpx.AsyncClient(base_url=service.service.url, trust_env=False) as stranger,
    ):
        answers = [await stranger.get("/x", headers={"x-forwarded-for": f"203.0.113.{each}"}) for each in (1, 2)]
        again = await stranger.get("/x", headers={"x-forwarded-for": "203.0.113.1"})
    assert [each.status_code for each in answers] == [404, status]
    assert again.status_code == 429
