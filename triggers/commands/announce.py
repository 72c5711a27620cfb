"""What `waypost serve` prints when it has started: the address, the webhooks, and a request to try."""

import sys
import time

from rich.text import Text

from durable import __version__
from triggers.commands.output import open_console
from triggers.commands.problems import CheckedFile, print_problems
from triggers.service import Service
from triggers.webhooks.example import explain_duplicates, find_example
from triggers.webhooks.trigger import WebhookTrigger


def announce(service: Service, link: str) -> None:
    """Print it on standard output, with a link that signs in to the dashboard; print the problems of connections and
    pipelines on standard error."""
    out = open_console()
    out.print(Text.assemble(f"Waypost {__version__} listens on ", (service.local_url, "bold")))
    if service.settings.public_url:
        out.print(f"  public    {service.url}   (public_url: a proxy must forward requests from there)", soft_wrap=True)
    hooks = service.folder.find_triggers(WebhookTrigger)
    for hook in hooks:
        methods = " ".join(sorted(hook.methods))
        where = f"{service.url}/hooks{hook.path}"
        out.print(f"  webhook   {methods} {where}   (pipeline {hook.definition.id})", soft_wrap=True)
    out.print(f"  dashboard {link}   (signs in once, within 10 minutes; then: waypost open)", soft_wrap=True)
    out.print(f"  API key   {service.key_file or 'WAYPOST_API_KEY'}", soft_wrap=True)
    connections = [service.folder.connections] if service.folder.connections else []
    checked: list[CheckedFile] = [*connections, service.folder.unread, *service.folder.files]
    print_problems(checked, open_console(err=True), is_in_shell=False)
    if found := find_example(hooks, service.secrets, service.local_url, time.time()):
        hook, example = found
        out.print(f"Try it:\n  {example.format_curl()}\n  {explain_duplicates(hook)}", soft_wrap=True)
    sys.stdout.flush()
