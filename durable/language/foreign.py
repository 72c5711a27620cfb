"""Hints for users of other tools: the keys, triggers, actions and shapes that they know, and what to write instead."""

from collections.abc import Collection, Mapping

from durable.blocks.syntax import EXAMPLE_STEP
from durable.language.steps import EXAMPLES, ITEM_EXAMPLES, STEPS_KEYS, SYNTAX_BY_KEY
from durable.language.validation import Hints

_ORDER = "steps run in the order of the list; remove it"
_SECRETS = "write {{ secrets.NAME }} in a value that may hold a secret; remove it"
_INPUT = "write the inputs of an action under 'with'"
_WAIT = "waiting is a step of its own: {id: pause, use: wait.delay, with: {for: 10s}}"
_STEPS = "did you mean 'steps'"
_ELSE = "write the steps for all other cases under 'else', next to 'switch'"
_ATTEMPTS = "did you mean 'max_attempts'"
_FIRST_DELAY = "did you mean 'min_delay', for example 'min_delay: 5s'"
_DELAYS = "delays begin with 'min_delay' and grow by 'factor' up to 'max_delay'; remove it"
_LOOP = "a loop is 'foreach: inputs.lines', or 'repeat: {until: …, max_times: 10}'"

_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("uses", "action", "operator", "task", "type"), "did you mean 'use'"),
    "on": "did you mean 'triggers'",
    "trigger": "did you mean 'triggers'",
    **dict.fromkeys(("jobs", "actions", "tasks", "nodes", "stages", "then", "do"), _STEPS),
    "needs": _ORDER,
    "depends_on": _ORDER,
    "next": _ORDER,
    **dict.fromkeys(("env", "secrets"), _SECRETS),
    **dict.fromkeys(("vars", "variables"), "a step with 'use: transform.set' stores values under names"),
    "run": "name an action under 'use'",
    "timeout-minutes": "did you mean 'timeout', for example 'timeout: 30m'",
    "continue-on-error": "use 'try' and 'catch' to handle a failure",
    "rescue": "did you mean 'catch'",
    **dict.fromkeys(("name", "dag_id", "task_id", "step_id"), "did you mean 'id'"),
    **dict.fromkeys(("retries", "attempts"), "did you mean 'retry', for example 'retry: {max_attempts: 3}'"),
    "when": "did you mean 'if'",
    "if": "did you mean 'when'",
    "except": "did you mean 'catch'",
    **dict.fromkeys(("loop", "while", "for", "for_each"), _LOOP),
    **dict.fromkeys(("wait", "sleep", "delay", "pause"), _WAIT),
    "cases": "list them under 'switch': [{when: inputs.total > 100, steps: […]}]",
    **dict.fromkeys(("default", "otherwise", "else"), _ELSE),
    **dict.fromkeys(("id", "use"), "write steps as a list under 'steps'"),
    **dict.fromkeys(("url", "headers", "json", "body", "params", "values", "message"), _INPUT),
    **dict.fromkeys(("args", "arguments", "config", "input", "inputs", "options", "parameters"), _INPUT),
    **dict.fromkeys(("path", "verify"), "write the settings of a trigger under 'with'"),
    **dict.fromkeys(("cron", "every", "schedule_interval"), "put it under 'with' of a trigger with 'use: schedule'"),
    **dict.fromkeys(("enabled", "disabled"), "a file whose name begins with a dot is not read"),
    "version": "Waypost computes a pipeline's version itself; remove it",
    **dict.fromkeys(("webhook", "schedule"), "a trigger is {id: …, use: …, with: {…}}"),
    **dict.fromkeys(("retry.max", "retry.count", "retry.times", "retry.limit", "retry.tries"), _ATTEMPTS),
    **dict.fromkeys(("retry.delay", "retry.wait", "retry.interval", "retry.initial_delay"), _FIRST_DELAY),
    **dict.fromkeys(("retry.type", "retry.strategy", "retry.backoff", "retry.jitter"), _DELAYS),
    **dict.fromkeys(("concurrency.group", "concurrency.name"), "did you mean 'key'"),
    **dict.fromkeys(("concurrency.max", "concurrency.max_runs", "concurrency.max_parallel"), "did you mean 'limit'"),
    **dict.fromkeys(
        ("concurrency.cancel-in-progress", "concurrency.behavior", "concurrency.strategy"),
        "did you mean 'overflow', for example 'overflow: cancel_oldest'",
    ),
    **dict.fromkeys(
        ("retention.keep", "retention.count", "retention.newest", "retention.runs"), "did you mean 'max_runs'"
    ),
    **dict.fromkeys(
        ("retention.days", "retention.age", "retention.max_age", "retention.all"),
        "name the status, for example 'completed: 30d'",
    ),
    **dict.fromkeys(("retention.succeeded", "retention.success"), "did you mean 'completed'"),
    **dict.fromkeys(("retry.on", "retry.when", "retry.if"), "did you mean 'errors', for example 'errors: [network]'"),
}
"""Hints for unknown keys; `retry.x` means `x` under `retry`."""

_INPUT_KEYS: Mapping[str, str] = {
    **dict.fromkeys(
        ("auth", "authentication", "credentials", "secret", "signature", "token"),
        "did you mean 'verify', for example 'verify: {preset: github, secret: \"{{ secrets.NAME }}\"}'",
    ),
    **dict.fromkeys(("endpoint", "route", "url", "uri"), "did you mean 'path'"),
    **dict.fromkeys(("tz", "time_zone", "zone"), "did you mean 'timezone'"),
    **dict.fromkeys(("interval", "period"), "did you mean 'every', for example 'every: 5m'"),
    **dict.fromkeys(("expression", "schedule"), "did you mean 'cron', for example 'cron: \"0 9 * * *\"'"),
    **dict.fromkeys(("data", "payload", "content"), "did you mean 'json'"),
    **dict.fromkeys(("query", "querystring", "search"), "did you mean 'params'"),
    **dict.fromkeys(("msg", "text"), "did you mean 'message'"),
    **dict.fromkeys(("workflow", "flow", "name"), "did you mean 'pipeline'"),
}
"""Hints for unknown keys under `with`, for triggers and actions that have the suggested key."""

TRIGGERS: Mapping[str, str] = {
    **dict.fromkeys(("cron", "timer", "interval"), "write 'use: schedule' and 'with: {cron: …}' or '{every: …}'"),
    **dict.fromkeys(("http", "hook", "post", "request"), "write 'use: webhook'"),
    **dict.fromkeys(
        ("manual", "api", "workflow_dispatch", "call"),
        "every pipeline can be started through the API and with `waypost run`; remove the trigger",
    ),
    **dict.fromkeys(
        ("github", "stripe", "slack", "shopify", "gitlab"),
        "write 'use: webhook' and name the sender under 'verify': {preset: …, secret: …}",
    ),
}
"""Hints for kinds of triggers."""

_CODE = "pipelines contain no code; 'transform.set' computes values with expressions"
_HTTP = "use 'http.post' to call a service that has an HTTP API"

ACTIONS: Mapping[str, str] = {
    **dict.fromkeys(("sleep", "delay", "pause", "timer", "wait"), "wait.delay"),
    **dict.fromkeys(("request", "curl", "fetch", "axios", "api", "httprequest", "http_request"), "http.request"),
    **dict.fromkeys(("get",), "http.get"),
    **dict.fromkeys(("post", "webhook.send"), "http.post"),
    **dict.fromkeys(("print", "echo", "console", "log", "debug"), "log.write"),
    **dict.fromkeys(("set", "assign", "variables", "transform", "map"), "transform.set"),
    **dict.fromkeys(("stop", "exit", "end", "return"), "flow.stop"),
    **dict.fromkeys(("throw", "raise", "error"), "flow.fail"),
    **dict.fromkeys(("respond", "response", "reply"), "flow.respond"),
    **dict.fromkeys(("subflow", "pipeline", "workflow"), "flow.call"),
    **dict.fromkeys(("rollback", "undo", "compensate"), "flow.undo"),
    **dict.fromkeys(("publish", "event", "emit"), "flow.emit"),
    **dict.fromkeys(("approve", "approval", "confirm"), "wait.approval"),
}
"""Actions by the names that other tools give them."""

_LISTED = 12

CODE = frozenset({"code", "script", "function", "python", "javascript", "js", "node", "run", "shell", "bash", "exec"})


def suggest_action(use: str, known: Collection[str]) -> str | None:
    """Return a hint for an action that does not exist; None if its name is unknown."""
    connector, _, action = use.lower().partition(".")
    for name in (use.lower(), action if connector in {"wait", "flow", "log", "http"} else connector):
        if ACTIONS.get(name) in known:
            return f"did you mean '{ACTIONS[name]}'"
    if connector == "if":
        return "write 'if: …' next to 'use'"
    if connector in SYNTAX_BY_KEY and connector != "use":
        return f"write '{connector}: …' instead of 'use'"
    return _CODE if connector in CODE else None


def suggest_connector(known: Collection[str]) -> str:
    """Return a hint for a service without a connector."""
    connectors = sorted({name.partition(".")[0] for name in known})
    some = f"known: {', '.join(connectors)}" if len(connectors) <= _LISTED else "`waypost connectors` lists all"
    return f"{some}{f'; {_HTTP}' if 'http.post' in known else ''}"


_VALUES: Mapping[str, str] = {
    "concurrency": "{limit: 1}",
    "retention": "{completed: 30d, failed: 90d, max_runs: 1000}",
    "defaults": "{timeout: 10s, retry: {max_attempts: 5}}",
    "triggers": "[{id: shop, use: webhook, with: {path: /orders, verify: {…}}}]",
    "inputs": "{order: {type: object}}",
    "outputs": '{total: "{{ … }}"}',
    **dict.fromkeys(("if", "when", "until"), "inputs.total > 100"),
    **dict.fromkeys(STEPS_KEYS, f"[{EXAMPLE_STEP}]"),
    **EXAMPLES,
}
"""Examples of values by key, for hints about values of the wrong shape."""

_ITEMS: Mapping[str, str] = {
    "triggers": "{id: shop, use: webhook, with: {path: /orders, verify: {…}}}",
    **dict.fromkeys(STEPS_KEYS, EXAMPLE_STEP),
    **ITEM_EXAMPLES,
}
"""The same for the items of lists."""

_INPUT_VALUES: Mapping[str, str] = {
    "verify": '{preset: github, secret: "{{ secrets.NAME }}"}',
    "dedupe": '{key: "{{ trigger.body.id }}"}',
    "cors": "[https://shop.example]",
    "waits": "{answer: {use: wait.webhook}, late: {use: wait.delay, with: {for: 1d}}}",
}
"""The same for keys under `with`."""

PIPELINE_HINTS = Hints(_KEYS, _VALUES, _ITEMS)
INPUT_HINTS = Hints(_INPUT_KEYS, _INPUT_VALUES, {})
"""Hints for a pipeline, and for what is under `with` in it."""
