"""The text of a pipeline's file, with its problems at their lines."""

from durable.problem import Problem, mask_passwords
from durable.redactor import Redactor
from durable.wording import make_printable
from triggers.config.folder import PipelineFile
from triggers.documents.pipelines import PipelineTextDocument, ProblemDocument

INDENT = "    "
"""What stands before a line of source in the text of a problem."""


def describe_text(file: PipelineFile, redactor: Redactor) -> PipelineTextDocument:
    """The text of a file. It is as long as a file may be, so call this in a thread.

    Secrets do not belong into the file; a value that is one, and what may be a password in a URL, is hidden.
    """
    written = file.data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = redactor.redact_text(mask_passwords(written))
    served = file.definition
    return PipelineTextDocument(
        id=file.name,
        file=file.path.name,
        status=file.status,
        version=served.version if served else None,
        text=text,
        problems=[_describe_problem(problem, file.line(problem.line), redactor) for problem in file.problems],
    )


def _describe_problem(problem: Problem, line: str, redactor: Redactor) -> ProblemDocument:
    _, *source = problem.render(line).split("\n")
    return ProblemDocument(
        line=problem.line,
        column=problem.column,
        severity=problem.severity,
        message=make_printable(redactor.redact_text(problem.message)),
        hint=make_printable(redactor.redact_text(problem.hint)) if problem.hint else None,
        source="\n".join(redactor.redact_text(each.removeprefix(INDENT)) for each in source) or None,
    )
