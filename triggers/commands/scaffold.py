"""Writes the files of a new connector, as its form makes them."""

import re
from pathlib import Path

from durable.wording import quote, suggest
from triggers.commands.failure import FAILED, WRONG_USE, CommandFailed
from triggers.config.catalogue import load_connectors
from triggers.config.connector_files import CORE_NAMES, find_form, list_forms
from triggers.config.unread import CONNECTORS

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def write_scaffold(config: Path, name: str, form: str) -> list[Path]:
    """Write the files and return their paths; raises `CommandFailed` rather than overwrite one."""
    if not _NAME.fullmatch(name):
        raise CommandFailed(
            f"{quote(name)} cannot be the name of a connector: use the letters a-z, digits and _", WRONG_USE
        )
    if form not in (known := list_forms()):
        hint = suggest(form, known) or f"known: {', '.join(known)}"
        raise CommandFailed(f"there is no form {quote(form)}; {hint}", WRONG_USE)
    if name in CORE_NAMES:
        raise CommandFailed(f"Waypost itself has actions named {quote(name)}; choose another name", WRONG_USE)
    connectors = load_connectors(config)
    if existing := connectors.folder.files.get(name):
        raise CommandFailed(f"{existing.path} already exists; nothing was written")
    if name in connectors.names:
        hint = "a file of this name would replace it: choose another name"
        raise CommandFailed(f"a connector {quote(name)} is installed; {hint}", FAILED)
    files = {config / CONNECTORS / path: text for path, text in find_form(form).scaffold(name).items()}
    for path in files:
        if path.exists():
            raise CommandFailed(f"{path} already exists; nothing was written")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)
