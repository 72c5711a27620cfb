"""Requests of `http.*` steps as curl commands, made of their recorded inputs."""

import shlex
from typing import Any
from urllib.parse import urlencode

import msgspec

PREFIX = "http."

METHODS = {"get", "head", "post", "put", "patch", "delete"}


def make_curl(use: str | None, given: Any) -> str | None:
    """The request of a step; None for another action, or if its input is not known. Secrets are references in it."""
    if not use or not use.startswith(PREFIX) or not isinstance(given, dict) or not isinstance(given.get("url"), str):
        return None
    name = use.removeprefix(PREFIX)
    method = name.upper() if name in METHODS else str(given.get("method", "GET")).upper()
    params = given.get("params")
    url = given["url"]
    if isinstance(params, dict) and params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    parts = [f"curl -X {method} {shlex.quote(url)}"]
    headers = given.get("headers")
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in (headers or {}).items()]
    if "json" in given:
        parts += [
            "-H 'content-type: application/json'",
            f"-d {shlex.quote(msgspec.json.encode(given['json']).decode())}",
        ]
    elif isinstance(given.get("form"), dict):
        parts.append(f"-d {shlex.quote(urlencode(given['form'], doseq=True))}")
    elif isinstance(given.get("body"), str):
        parts.append(f"--data-binary {shlex.quote(given['body'])}")
    return " \\\n  ".join(parts)
