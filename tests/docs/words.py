"""What the reference says and no model can: a few sentences, and the meaning of words that are only listed in code."""

from collections.abc import Iterable, Mapping

UNITS = ("ms", "s", "m", "h", "d")

BEGINNING = """\
Every key, action, filter and status of the pipeline language. [pipelines.md](pipelines.md) introduces the language,
[flow.md](flow.md) shows blocks, waits, calls and undo, and [mistakes.md](mistakes.md) has the usual mistakes with their
cures. This page is written from the models that the service itself uses, by `python -m tests.docs.reference`; a test
holds it to them.

A key is optional unless it is marked as required. A value that may hold a secret may be, or contain,
`{{ secrets.NAME }}`."""

RETRYING = (
    "Delays have full jitter: each is between nothing and what the growth gives. "
    "A service's `Retry-After` is honoured up to an hour, or up to `max_delay` if that is longer."
)

VERIFY = """\
`verify` names a preset, spells a `scheme` out, or is `none`. Beside it stands `secret`: `"{{ secrets.NAME }}"`, or a
list of them while a secret is rotated. *Signed* is what the signature covers, in this order."""

SCHEME = """\
A `scheme` describes a sender that no preset fits. A place in the request is written `header:NAME`, `sig:NAME` (a field
of the signature's header), `query:NAME`, `body:PATH` or `form:NAME` (both only once verified), or it is a whole thing:
`body`, `url`, `method`, `ts`. A fixed text is `{const: TEXT}`. A scheme is a Signed, or a Token with `kind: token`; the
other parts stand inside them."""

CONNECTORS = """\
`use` names an action as `connector.action`; its inputs stand under `with`. The last column is what `on_crash` is
unless the step says otherwise: `retry` repeats under the same idempotency key with the same input, `park` pauses the
run for a person, `fail` fails the step."""

CORE_ACTIONS = """\
They change what happens next in the run and touch nothing outside the journal. `connection`, `retry`, `on_crash`,
`on_exhausted` and `undo` do not go with them, `timeout` and `keep` only with `flow.call` and `wait.*`, `on_timeout`
only with `wait.*`. [flow.md](flow.md) shows them at work."""

EXPRESSIONS = """\
`if` and `when` hold a bare expression; in every other text `{{ }}` marks one. The grammar is Jinja's over JSON data:
no calls, no loops, no statements. A text that is one whole `{{ expression }}` keeps the type of its value. A name that
is not there is an error. These names can be read:"""

EXAMPLES = "The examples, here and below, read these `inputs`; the last column is what an expression gives."

FILTERS = """\
There are no others. A parameter with a value may be left out; `…` stands for one that has no value of its own. They
compare texts exactly, `int` and `float` refuse what is no number, `default` needs its value."""

TESTS = "They stand behind `is` or `is not`, and in quotes in `select`, `reject`, `selectattr` and `rejectattr`."

DURATIONS = """\
A whole number and one unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`; at most `3650d`."""

ERRORS = """\
A failed attempt has a class, and `retry.errors` names the classes that are repeated."""

HISTORY = """\
Every run is a list of entries, and `waypost show` prints it. A fact is what the service reports, a decision is what
follows from it."""

NAMES = {
    "trigger": "in a trigger's `when` and `inputs`, in steps and `outputs`: what arrived",
    "inputs": "in steps and `outputs`",
    "steps": "in steps and `outputs`: the steps before this one",
    "run": "in steps and `outputs`; `run.links.ID` is the link by which somebody answers the wait with that id",
    "secrets": "where a value may hold a secret, alone in its `{{ }}`",
    "output": "in `keep` and `undo`: what the action returned",
    "error": "in `on_failure` and `catch`",
    "index": "in `foreach` and `repeat`: the number of the item or turn, from 0",
}

OUTPUTS = {
    "foreach": """\
Inside it the item is read by its name. After it, `steps.ID.output` is a list in the order of the items, each with
`status`, `error` and `steps`: `steps.ID.output[0].steps.INNER.output`.""",
    "repeat": "After it, `steps.ID.output` holds the steps of the last turn: `steps.ID.output.INNER.output`.",
    "switch": "After it, the steps inside can be read by their ids; the output of one that was not performed is null.",
    "parallel": "After it, the steps inside can be read by their ids.",
    "try": "After it, the steps inside can be read by their ids; the output of one that was not performed is null.",
    "flow.call": "Its output is the outputs of the called run; of a detached one it is `{run}`, the run's id.",
}
"""What a kind of step gives, where no model says so."""

ERROR_CLASSES = {
    "network": "no connection, or an answer that was lost",
    "timeout": "no answer in time",
    "rate_limit": "the service asks for a pause; 403 with `Retry-After` counts as this too",
    "server": "the service failed, or cannot take the request now (421 misdirected, 423 locked, 425 too early)",
    "client": "the service refuses the request",
    "auth": "the service refuses the credentials",
    "invalid": "the input, the output or an expression does not fit; nothing outside can mend it",
    "internal": "an exception that the connector did not expect",
    "crash": "the process ended during the attempt",
}

RUN_STATUSES = {
    "queued": "a limit holds it back",
    "running": "a step is due or under way",
    "waiting": "nothing is left to do before something comes or is due",
    "paused": "it does not go on by itself; `reason` says why",
    "completed": "its steps were performed or skipped, or `flow.stop` ended it",
    "failed": "a step failed for good, its timeout passed, or its inputs could not be made",
    "cancelled": "somebody asked for its end, or `flow.stop` did",
}

STEP_STATUSES = {
    "pending": "not reached",
    "running": "an attempt is due or under way",
    "waiting": "something is waited for: an answer, an event, a time, the next attempt",
    "completed": "its output is checkpointed",
    "failed": "no attempt follows",
    "skipped": "its `if` was false",
    "uncertain": "nobody knows whether the effect happened, and it is not repeated",
    "cancelled": "the run ended while it was under way",
}

FILE_LIMITS = {
    "size": "bytes",
    "depth": "levels of lists and mappings",
    "nodes": "values",
    "problems": "errors that are told at once, and as many warnings",
}


def complete(meanings: Mapping[str, str], there: Iterable[str]) -> Mapping[str, str]:
    """The meanings, once it is sure that every word has one and no other has."""
    if wrong := set(meanings) ^ set(there):
        raise LookupError(f"tests/docs/words.py must explain exactly what there is: {', '.join(sorted(wrong))}")
    return meanings
