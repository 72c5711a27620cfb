"""Pipelines told for people: what each is, and what is wrong with it."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from triggers.commands.output import format_count, print_table

Document: TypeAlias = dict[str, Any]

TONES = {"serving": "green", "valid": "green", "disabled": "red", "serving the version before": "yellow"}


def print_pipelines(out: Console, found: Iterable[Document]) -> None:
    """A line a pipeline, then the problems."""
    found = list(found)
    rows = ((each["id"], _style_status(each["status"]), each["file"], _summary(each)) for each in found)
    print_table(out, ("PIPELINE", "STATUS", "FILE", "WEBHOOKS"), rows, fold="WEBHOOKS")
    for each in found:
        for problem in each["problems"]:
            out.print(problem, soft_wrap=True)


def _style_status(status: str) -> Text:
    return Text(status, TONES.get(status, ""))


def _summary(file: Document) -> str:
    problems = [format_count(len(file["problems"]), "problem")] if file["problems"] else []
    return "  ".join([*file["webhooks"], *problems])
