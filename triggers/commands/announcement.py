"""What a service says when it has started: where it listens, what it serves, and a request to try."""

import shlex
import sys

from rich.text import Text

from durable import __version__
from durable.secrets import SecretMissing, fill
from triggers.commands.output import console
from triggers.commands.problems import Checked, print_problems
from triggers.service import Service
from triggers.webhooks.hook import Hook
from triggers.webhooks.signature import sign

SAMPLE_BODY = '{"name": "Ada"}'


def announce(service: Service) -> None:
    """Say it on standard output, and what is wrong with connections and pipelines on standard error."""
    out = console()
    out.print(Text.assemble(f"Waypost {__version__} listens on ", (service.url, "bold")))
    for hook in service.folder.hooks:
        methods = " ".join(sorted(hook.methods))
        where = f"{service.url}/hooks{hook.path}"
        out.print(f"  webhook   {methods} {where}   (pipeline {hook.definition.spec.id})", soft_wrap=True)
    out.print(f"  API key   {service.key_file or 'WAYPOST_API_KEY'}", soft_wrap=True)
    connections = [service.folder.connections] if service.folder.connections else []
    checked: list[Checked] = [*connections, service.folder.unread, *service.folder.files]
    print_problems(checked, console(err=True), is_in_shell=False)
    if command := next(filter(None, (_curl(service, hook) for hook in service.folder.hooks)), None):
        out.print(f"Try it:\n  {command}", soft_wrap=True)
    sys.stdout.flush()


def _curl(service: Service, hook: Hook) -> str | None:
    """A signed request that the webhook takes, for schemes whose signature does not age."""
    scheme = hook.verifier.scheme
    if "{" in hook.path or "POST" not in hook.methods or scheme is None or getattr(scheme, "ts", None):
        return None
    if scheme.kind == "token":
        return None  # it would print the secret itself
    try:
        secret = str(fill(None, hook.secrets[0], service.secrets)[0])
    except SecretMissing:
        return None
    where = {"path": f"/hooks{hook.path}", "public_url": hook.verifier.public_url}
    headers = sign(scheme, secret, SAMPLE_BODY.encode(), 0, id="try-1", **where)
    given = [
        f"-H {shlex.quote(f'{name}: {value}')}"
        for name, value in {"content-type": "application/json", **headers}.items()
    ]
    return " ".join(["curl", "-X POST", f"{service.url}/hooks{hook.path}", *given, "-d", shlex.quote(SAMPLE_BODY)])
