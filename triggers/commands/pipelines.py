"""`waypost pipelines`: the pipelines of the running service, or of the config folder."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from durable.wording import count_things
from triggers.commands.ask import ask_reader
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.pipelines import PipelineLineDocument

STYLES = {"serving": "green", "valid": "green", "disabled": "red", "serving the version before": "yellow"}


def pipelines(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_reader(config, data, lambda reader: reader.list_pipelines())
    print_json(found) if as_json else print_pipelines(open_console(), found)


def print_pipelines(out: Console, found: Sequence[PipelineLineDocument]) -> None:
    """A line a pipeline, then the problems."""
    rows = ((each.id, _style_status(each.status), each.file, _summarize(each)) for each in found)
    print_table(out, ("PIPELINE", "STATUS", "FILE", "WEBHOOKS"), rows, fold="WEBHOOKS")
    for each in found:
        for problem in each.problems:
            out.print(problem, soft_wrap=True)


def _style_status(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


def _summarize(file: PipelineLineDocument) -> str:
    problems = [count_things(len(file.problems), "problem")] if file.problems else []
    return "  ".join([*file.webhooks, *problems])
