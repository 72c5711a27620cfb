"""The arguments that commands share."""

from typing import Annotated

import typer

from triggers.commands.completion import pipeline_ids, run_ids

PipelineId = Annotated[str, typer.Argument(help="The pipeline's id.", autocompletion=pipeline_ids)]
RunId = Annotated[str, typer.Argument(help="The run's id.", autocompletion=run_ids)]
