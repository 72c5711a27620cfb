"""Commands about keys, with a running service and without one."""

import json
import re
from pathlib import Path

import httpx

from tests.cli.command import serving, waypost


def test_keys_are_created_listed_and_revoked_without_a_service(place: Path) -> None:
    made = waypost("keys", "create", "ci", "--scope", "read", cwd=place)
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"wp_[\w-]{43}\n", made.stdout), "so that a variable can take it"
    [listed] = json.loads(waypost("keys", "list", "--json", cwd=place).stdout)
    assert (listed["name"], listed["scope"], listed["revoked_at"]) == ("ci", "read", None)
    assert made.stdout.strip() not in waypost("keys", "list", cwd=place).stdout
    assert "is revoked" in waypost("keys", "revoke", listed["id"], cwd=place).stdout
    [revoked] = json.loads(waypost("keys", "list", "--json", cwd=place).stdout)
    assert revoked["revoked_at"]
    ended, begun = json.loads(waypost("audit", "--json", cwd=place).stdout)
    assert (begun["action"], begun["via"], begun["target"]) == ("create_key", "command", listed["id"])
    assert (ended["action"], ended["outcome"]) == ("revoke_key", "done")
    assert "revoke_key" in waypost("audit", "--action", "revoke_key", cwd=place).stdout
    assert waypost("audit", "--via", "mail", cwd=place).returncode == 2


def test_a_key_created_while_the_service_runs_works_at_once(place: Path) -> None:
    with serving(place) as (_, output):
        made = json.loads(waypost("keys", "create", "ci", "--json", cwd=place).stdout)
        url = re.findall(r"http://127.0.0.1:\d+", output)[0]
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert httpx.get(f"{url}/api/runs", headers=headers, trust_env=False).status_code == 200
        assert waypost("keys", "revoke", made["id"], cwd=place).returncode == 0
        assert httpx.get(f"{url}/api/runs", headers=headers, trust_env=False).status_code == 401
        assert waypost("keys", "revoke", "key_nobody", cwd=place).returncode == 1
        signing = waypost("keys", "create", "shop", "--signing", cwd=place)
        assert re.search("key_[0-9a-z]{26} signs tokens", signing.stderr)
        assert re.fullmatch(r"[\w-]{43}\n", signing.stdout), "the secret"


def test_errors_about_keys_are_explained(place: Path) -> None:
    assert waypost("keys", "create", "ci", "--scope", "all", cwd=place).returncode == 2
    assert waypost("keys", "create", "", cwd=place).returncode == 2
    unserved = waypost("keys", "create", "shop", "--signing", cwd=place)
    assert unserved.returncode == 3
    assert "waypost serve" in unserved.stderr
    missing = waypost("keys", "revoke", "key_nobody", cwd=place)
    assert missing.returncode == 1
    assert "`waypost keys list` lists them" in missing.stderr


def test_serving_other_machines_requires_an_explicit_key(place: Path) -> None:
    refused = waypost("serve", "--host", "0.0.0.0", "--port", "0", cwd=place)
    assert refused.returncode == 2
    assert "WAYPOST_API_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr
    short = waypost("serve", "--host", "0.0.0.0", "--port", "0", cwd=place, WAYPOST_API_KEY="k" * 15)
    assert short.returncode == 2
    assert "kkkk" not in short.stderr
    waypost("keys", "create", "ops", "--scope", "admin", cwd=place)
    with serving(place, "--host", "0.0.0.0") as (_, output):
        assert "listens" in output


def test_open_prints_a_link_that_signs_in_as_serve_does(place: Path) -> None:
    none = waypost("open", "--print", cwd=place)
    assert none.returncode == 3
    assert "waypost serve" in none.stderr
    with serving(place) as (_, output):
        links = re.findall(r"http://\S+/enter#[\w-]{43}", output)
        assert len(links) == 1
        links.append(waypost("open", "--print", cwd=place).stdout.strip())
        for link in links:
            url, _, secret = link.partition("#")
            for status in (303, 401):
                answer = httpx.post(url, data={"token": secret}, headers={"Sec-Fetch-Site": "none"}, trust_env=False)
                assert answer.status_code == status
