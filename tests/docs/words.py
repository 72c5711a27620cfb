"""Texts of the reference that no model contains: a few sentences, and the meanings of words listed in code."""

from collections.abc import Iterable, Mapping

UNITS = ("ms", "s", "m", "h", "d")

BEGINNING = """\
Every key, action, filter and status of the pipeline language. [pipelines.md](pipelines.md) introduces the language,
[flow.md](flow.md) shows blocks, waits, calls and undo, and [mistakes.md](mistakes.md) lists common mistakes and how to
fix them. This page is generated from the models that the service itself uses, by `python -m tests.docs.reference`; a
test keeps it up to date.

A key is optional unless it is marked as required. A value that may hold a secret can be, or can contain,
`{{ secrets.NAME }}`."""

RETRYING = (
    "Delays have full jitter: each is a random time between zero and the calculated delay. "
    "A service's `Retry-After` is honoured up to one hour, or up to `max_delay` if that is longer."
)

VERIFY = """\
`verify` names a preset, defines a `scheme`, or is `none`. With a preset or a scheme it also has a `secret`:
`"{{ secrets.NAME }}"`, or a list of secrets while one is rotated. *Signed* is what the signature covers, in order."""

SCHEME = """\
A `scheme` describes a sender that no preset fits. A part of the request is written as `header:NAME`, `sig:NAME` (a
field of the signature header), `query:NAME`, `body:PATH` or `form:NAME` (the last two only after verification), or as
`body`, `url`, `method` or `ts`. A fixed text is `{const: TEXT}`. A scheme is a Signed, or a Token with `kind: token`;
the other parts are used inside them."""

CONNECTORS = """\
`use` names an action as `connector.action`, and `with` contains its inputs. The last column is the default of
`on_crash`: `retry` repeats the attempt with the same input and the same idempotency key, `park` pauses the run until a
person decides, `fail` fails the step."""

CORE_ACTIONS = """\
These actions control the run and change nothing outside the journal. They do not accept `connection`, `retry`,
`on_crash`, `on_exhausted` and `undo`; `timeout` and `keep` are accepted only by `flow.call` and `wait.*`, `on_timeout`
only by `wait.*`. [flow.md](flow.md) has examples."""

EXPRESSIONS = """\
`if` and `when` are expressions without braces; in all other texts an expression is written in `{{ }}`. The grammar is
that of Jinja expressions over JSON data, without calls, loops and statements. A text that consists of a single
`{{ expression }}` keeps the type of its value. An undefined name is an error. These names are available:"""

EXAMPLES = "The examples here and below read these `inputs`; the last column is the result."

FILTERS = """\
These are all filters. A parameter that has a default is optional; `…` means that the default is no value at all. Text
comparisons are case-sensitive, `int` and `float` fail for text that is not a number, `default` requires its value."""

TESTS = "A test follows `is` or `is not`; in `select`, `reject`, `selectattr` and `rejectattr` its name is in quotes."

DURATIONS = """\
A whole number and one unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`; at most `3650d`."""

ERRORS = """\
Every failed attempt has an error class; `retry.errors` lists the classes to retry."""

HISTORY = """\
The history of a run is a list of entries. A fact records what happened, a decision records what the service decided
to do about it."""

NAMES = {
    "trigger": "in a trigger's `when` and `inputs`, in steps and `outputs`: the request or event",
    "inputs": "in steps and `outputs`",
    "steps": "in steps and `outputs`: the steps before this one",
    "run": "in steps and `outputs`; `run.links.ID` is the link that answers the wait with that id",
    "secrets": "in values that may hold a secret, alone in its `{{ }}`",
    "output": "in `keep` and `undo`: what the action returned",
    "error": "in `on_failure` and `catch`",
    "index": "in `foreach` and `repeat`: the number of the item or iteration, from 0",
}

OUTPUTS = {
    "foreach": """\
Steps inside the block read the item by its name. After the block, `steps.ID.output` is a list in the order of the
items; each element has `status`, `error` and `steps`, as in `steps.ID.output[0].steps.INNER.output`.""",
    "repeat": "After the block, `steps.ID.output` contains the steps of the last iteration: "
    "`steps.ID.output.INNER.output`.",
    "switch": "After the block, its steps can be read by their ids; the output of a step that was not performed is "
    "null.",
    "parallel": "After the block, its steps can be read by their ids.",
    "try": "After the block, its steps can be read by their ids; the output of a step that was not performed is null.",
    "flow.call": "Its output is the outputs of the called run. With `detach: true` it is `{run}`, the id of the run.",
}
"""The output of a kind of step, where no model defines it."""

ERROR_CLASSES = {
    "network": "no connection, or the response was lost",
    "timeout": "no response in time",
    "rate_limit": "the service asks for fewer requests; 403 with `Retry-After` counts too",
    "server": "the service failed, or cannot process the request now (421 misdirected, 423 locked, 425 too early)",
    "client": "the service rejects the request",
    "auth": "the service rejects the credentials",
    "invalid": "the input, the output or an expression is invalid; a retry would not help",
    "internal": "an unexpected exception in the connector",
    "crash": "the process ended during the attempt",
}

RUN_STATUSES = {
    "queued": "a concurrency limit, or its start time, delays the start",
    "running": "a step is due or in progress",
    "waiting": "the run waits for an answer, an event or a time",
    "paused": "the run does not continue until a person decides; `reason` says why",
    "completed": "all steps were performed or skipped, or `flow.stop` ended the run",
    "failed": "a step failed, the run timed out, or its inputs were invalid",
    "cancelled": "the run was cancelled by a person or by `flow.stop`",
}

STEP_STATUSES = {
    "pending": "not reached yet",
    "running": "an attempt is due or in progress",
    "waiting": "the step waits for an answer, an event, a time or its next attempt",
    "completed": "its output is stored",
    "failed": "it failed, and no attempt follows",
    "skipped": "its `if` was false",
    "uncertain": "it is unknown whether the effect happened; the step is not repeated",
    "cancelled": "the run ended while the step was in progress",
}

FILE_LIMITS = {
    "size": "bytes",
    "depth": "levels of lists and mappings",
    "nodes": "values",
    "problems": "errors reported at once, and as many warnings",
}


def complete(meanings: Mapping[str, str], there: Iterable[str]) -> Mapping[str, str]:
    """Check that exactly these words have a meaning, and return the meanings."""
    if wrong := set(meanings) ^ set(there):
        raise LookupError(f"tests/docs/words.py must explain exactly what there is: {', '.join(sorted(wrong))}")
    return meanings
