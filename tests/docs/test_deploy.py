"""The files of docs/deploy: checked by the tools they are for where these are installed, and against the code.

The image is built and run only where Docker has its base image, since tests download nothing. Elsewhere a linter reads
the Dockerfile, and a test does without a container what its image does.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from durable.durations import parse_duration
from durable.metrics import render_metrics
from tests.cli.command import ENVIRONMENT
from tests.docs import deploy, grafana
from tests.docs.deploy import FOLDER, ROOT
from tests.npm import require_package
from triggers.api.value_types import LONGEST_WAIT
from triggers.http.server import GRACE
from triggers.logs import CONTEXT
from triggers.settings import Settings
from triggers.webhooks.webhooks import RESULT_SECONDS

KEEP_ALIVE = 15
WAYPOST = Path(sys.executable).with_name("waypost")


def _read(name: str) -> str:
    return (FOLDER / name).read_text()


def _list_instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    lines = [line for line in _read("Dockerfile").splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def _find(instruction: str) -> str:
    """The arguments of the last such instruction, which is the one that counts."""
    return [rest for name, rest in _list_instructions() if name == instruction][-1]


def _run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=60)


def _find_drain_seconds() -> float:
    default: int = Settings.model_fields["drain_timeout"].default
    return default / 1000 + GRACE


# -- the container ------------------------------------------------------------------------------------------------


def test_the_image_has_a_pinned_base_no_root_and_what_it_copies() -> None:
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", _find("ARG"))
    assert {rest.split()[0] for name, rest in _list_instructions() if name == "FROM"} == {"python:${PYTHON}"}
    assert _find("USER") == "waypost"
    assert (_find("STOPSIGNAL"), _find("VOLUME"), _find("EXPOSE")) == ("SIGTERM", "/data", "8400")
    assert json.loads(_find("ENTRYPOINT")) == ["waypost"], "a shell as process 1 would not pass SIGTERM on"
    copied = [source for name, rest in _list_instructions() if name == "COPY" for source in rest.split()[:-1]]
    assert copied
    ignored = _read("Dockerfile.dockerignore")
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}\n" in ignored


def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    packages = require_package("dockerfile-utils")
    script = "console.log(JSON.stringify(require('dockerfile-utils').validate(require('fs').readFileSync(0, 'utf8'))))"
    for text, is_sound in ((_read("Dockerfile"), True), ("FROM python\nCMD [serve]\nUSR root\n", False)):
        done = subprocess.run(
            ["node", "-e", script],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"NODE_PATH": str(packages / "node_modules")},
        )
        assert (json.loads(done.stdout) == []) == is_sound, done.stdout


@pytest.mark.slow
def test_the_image_is_built_and_runs() -> None:
    base = f"python:{_find('ARG').partition('=')[2]}"
    docker = shutil.which("docker")
    if not docker or _run(docker, "image", "inspect", base).returncode:
        pytest.skip(f"needs Docker with the image {base}")
    build = [docker, "build", "-q", "-f", str(FOLDER / "Dockerfile"), str(ROOT)]
    image = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run([docker, "run", "--rm", image, "version"], capture_output=True, text=True, check=True)
    assert "Waypost" in done.stdout


def test_the_command_of_the_image_serves_is_healthy_and_ends_on_sigterm_as_process_1(tmp_path: Path) -> None:
    """What the container does, without a container: its variables, its command, its health check, and process 1."""
    given = dict(pair.split("=", 1) for pair in shlex.split(_find("ENV")))
    moved = {"WAYPOST_CONFIG": str(tmp_path / "config"), "WAYPOST_DATA": str(tmp_path / "data"), "WAYPOST_PORT": "0"}
    assert given.keys() >= {"WAYPOST_CONFIG", "WAYPOST_DATA", "WAYPOST_HOST"}
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    environment = ENVIRONMENT | given | moved | {"WAYPOST_API_KEY": "k" * 16}
    command = [str(WAYPOST), *json.loads(_find("CMD"))]
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    is_possible = shutil.which("unshare") and not _run(*unshare, "true").returncode
    before = unshare if is_possible else []  # without the right to make namespaces, it is an ordinary process
    with subprocess.Popen([*before, *command], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert url
            check = _find("HEALTHCHECK").partition("CMD ")[2].replace("http://127.0.0.1:8400", url[0])
            _, *arguments = json.loads(check)
            assert _run(sys.executable, *arguments).returncode == 0
            with urlopen(f"{url[0]}/ready", timeout=30) as answer:
                assert answer.status == 200
            inner = process.pid
            if before:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                inner = int(children[0])
            os.kill(inner, signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def _load_compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(_read("compose.yaml"))["services"]["waypost"]
    return service


def test_compose_gives_a_service_time_to_drain_and_its_volume() -> None:
    service = _load_compose()
    assert parse_duration(service["stop_grace_period"]) / 1000 > _find_drain_seconds()
    assert parse_duration(service["environment"]["WAYPOST_DRAIN_TIMEOUT"]) / 1000 + GRACE == _find_drain_seconds()
    assert service["env_file"] == ["waypost.env"]
    assert {"./config:/config:ro", "data:/data"} == set(service["volumes"])
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    assert "8400/ready" in service["healthcheck"]["test"][-1]


def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or _run(docker, "compose", "version").returncode:
        pytest.skip("needs docker compose")
    shutil.copy(FOLDER / "compose.yaml", tmp_path)
    (tmp_path / "waypost.env").touch()
    checked = _run(docker, "compose", "config", "-q", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


# -- systemd and proxies ------------------------------------------------------------------------------------------


def test_the_unit_stops_after_the_drain_timeout_and_systemd_accepts_it(tmp_path: Path) -> None:
    text = _read("waypost.service")
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)
    assert int(stop) > _find_drain_seconds()
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "waypost.service"
    unit.write_text(text.replace("/opt/waypost/bin/waypost", str(WAYPOST)))
    done = _run(analyze, "verify", str(unit))
    assert (done.returncode, "waypost.service" in done.stderr) == (0, False), done.stderr


def test_the_proxies_fit_the_limits_of_the_service() -> None:
    largest = Settings.model_fields["max_body_bytes"].default
    longest = max(RESULT_SECONDS, LONGEST_WAIT / 1000)
    nginx, caddy = _read("nginx.conf"), _read("Caddyfile")
    assert int(re.findall(r"client_max_body_size (\d+)m;", nginx)[0]) * 1024 * 1024 == largest
    assert int(re.findall(r"max_size (\d+)MiB", caddy)[0]) * 1024 * 1024 == largest
    for text, name in ((nginx, "proxy_read_timeout"), (caddy, "response_header_timeout")):
        assert int(re.findall(rf"{name} (\d+)s", text)[0]) > longest
    for text, name in ((nginx, "keepalive_timeout"), (caddy, "keepalive")):
        assert int(re.findall(rf"{name} (\d+)s", text)[0]) < KEEP_ALIVE
    assert "proxy_pass http://waypost;" in nginx, "a path here would have the path decoded and encoded again"


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    nginx, openssl = shutil.which("nginx"), shutil.which("openssl")
    if not nginx or not openssl:
        pytest.skip("needs nginx and openssl")
    key, certificate = tmp_path / "waypost.key", tmp_path / "waypost.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1"]
    subprocess.run([openssl, *made, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    site = tmp_path / "site.conf"
    site.write_text(_read("nginx.conf").replace("/etc/ssl/", f"{tmp_path}/"))
    whole = tmp_path / "nginx.conf"
    places = "".join(f"{kind}_temp_path {tmp_path}/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {places} include {site}; }}"
    )
    done = _run(nginx, "-t", "-c", str(whole), "-p", str(tmp_path))
    assert done.returncode == 0, done.stderr


# -- what to watch ------------------------------------------------------------------------------------------------


NOT_SHOWN = {
    "waypost_oldest_run_timestamp_seconds",
    "waypost_retention_timestamp_seconds",
    "waypost_traces_oldest_timestamp_seconds",
}
"""Metrics for alerts and for `waypost doctor` only."""


def list_metrics() -> dict[str, str]:
    """The kinds of the metrics that a service exposes, by name."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", render_metrics().decode(), re.MULTILINE))


def list_series() -> set[str]:
    suffixes = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in list_metrics().items() for suffix in suffixes[kind]}


def test_every_alert_asks_for_a_metric_that_exists() -> None:
    known = list_series()
    rules = deploy.list_alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        asked = set(re.findall(r"\bwaypost_\w+", rule["expr"]))
        assert asked <= known, rule["alert"]
        assert asked or "up{" in rule["expr"]
        assert set(rule["annotations"]) == {"summary", "action"}


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    shown = {
        name
        for row in grafana.ROWS.values()
        for panel in row
        for query in panel.queries
        for name in re.findall(r"\b(?:waypost|process)_\w+", query.expr)
    }
    assert shown <= list_series()
    known = {name for name in list_metrics() if name.startswith("waypost_")}
    assert known - {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == NOT_SHOWN


def test_the_file_of_the_dashboard_is_up_to_date() -> None:
    assert grafana.FILE.read_text() == grafana.encode_dashboard(), "run `python -m tests.docs.grafana`"


def test_every_log_field_of_the_code_is_documented() -> None:
    found, documented = deploy.find_log_fields(), deploy.SOMETIMES.keys() - {"error"}
    assert found <= documented
    assert documented <= found | set(CONTEXT)


def test_the_tables_of_the_pages_are_up_to_date() -> None:
    for page in (deploy.PAGE, deploy.TELEMETRY):
        text = page.read_text()
        assert deploy.fill_tables(text) == text, "run `python -m tests.docs.deploy`"
