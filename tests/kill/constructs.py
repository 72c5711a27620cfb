"""Pipelines that use every construct of the language, and the effects that each must have on the ledger.

`DO(id, name)` stands for a step that has the effect `name` (by default its id). The ledger declines every effect whose
name begins with `declined`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_HEAD = """
id: NAME
triggers:
  - id: sent
    use: webhook
    with:
      path: /NAME
      verify: {preset: standard-webhooks, secret: "{{ secrets.SENDER }}"}
    inputs: {event: "{{ trigger.id }}", n: "{{ trigger.body.amount }}"}
"""
_DEFAULTS = """
defaults:
  timeout: 30s
  retry: {max_attempts: 8, min_delay: 20ms, max_delay: 200ms}
"""

_CHOOSING = """
steps:
  - id: route
    switch:
      - when: inputs.n % 3 == 0
        steps: [{DO(zero)}]
      - when: inputs.n % 3 == 1
        steps:
          - {DO(one)}
          - id: inner
            switch: [{when: inputs.n % 2 == 0, steps: [{DO(even)}]}]
            else: [{DO(odd)}]
    else: []
  - {DO(after)}
"""
_ITEMS = """
steps:
  - id: outer
    foreach: "[0, 1, 2]"
    as: i
    max_parallel: 2
    on_item_error: collect
    steps:
      - id: inner
        foreach: "[0, 1, 2]"
        as: j
        max_parallel: 2
        steps:
          - {DO(cell, cell-{{ i }}-{{ j }})}
          - {DO(declined, declined-{{ i }}-{{ j }}), if: i == 1 and j == 1}
  - {DO(after)}
"""
_STOPPING = """
steps:
  - id: each
    foreach: "[0, 1, 2, 3]"
    as: i
    steps:
      - {DO(cell, cell-{{ i }})}
      - {DO(declined, declined-{{ i }}), if: i == 1}
on_failure: [{DO(told)}]
"""
_BRANCHES = """
steps:
  - id: guard
    try:
      - id: racing
        parallel:
          slow: [{id: long, use: wait.delay, with: {for: 1h}}, {DO(never)}]
          quick: [{DO(quick)}, {DO(declined)}]
    catch: [{steps: [{DO(caught)}]}]
    finally: [{DO(cleanup)}]
  - id: second
    try:
      - id: all
        parallel:
          a: [{DO(left)}, {DO(more)}]
          b: [{DO(declined_b, declined-b)}]
        on_branch_error: finish
    catch: [{steps: [{DO(caught_b, caught-b)}]}]
"""
_GUARDED = """
steps:
  - id: guard
    try:
      - {DO(begun)}
      - {id: pause, use: wait.delay, with: {for: 300ms}}
      - {DO(declined)}
    catch:
      - when: error.class == 'client'
        steps: [{DO(caught)}]
    finally: [{DO(cleanup)}, {DO(more, cleanup-more)}]
  - {DO(after)}
"""
_POLLING = """
steps:
  - id: settled
    repeat: {until: index >= 2, every: 60ms, max_times: 5}
    steps: [{DO(turn, turn-{{ index }})}]
  - id: guard
    try:
      - id: never
        repeat: {until: 1 == 2, max_times: 2}
        steps: [{DO(vain, vain-{{ index }})}]
    catch: [{steps: [{DO(caught)}]}]
  - {DO(after)}
"""
_WAITING = """
steps:
  - id: ask
    use: http.post
    with:
      url: LEDGER/effects/{{ inputs.event }}/ask
      json: {tell: {links: ["{{ run.links.hook }}", "{{ run.links.first.answer }}"]}}
    keep: {receipt: "{{ output.body.receipt }}"}
  - {id: pause, use: wait.delay, with: {for: 150ms}}
  - {id: hook, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}
  - {DO(hooked)}
  - {id: approval, use: wait.approval, with: {to: ops, title: Go on}, timeout: 1h, on_timeout: fail}
  - {DO(approved)}
  - {id: quiet, use: wait.webhook, with: {}, timeout: 120ms, on_timeout: {said: nothing}}
  - {id: late, use: wait.webhook, with: {}, timeout: 120ms, on_timeout: [{DO(late_told, late)}]}
  - {id: past, use: wait.until, with: {time: "2026-01-01T00:00:00Z"}}
  - id: first
    use: wait.any
    with: {waits: {answer: {use: wait.webhook}, later: {use: wait.delay, with: {for: 1h}}}}
  - id: each
    foreach: "[0, 1]"
    as: i
    max_parallel: 2
    steps:
      - id: beg
        use: http.post
        with:
          url: LEDGER/effects/{{ inputs.event }}/beg-{{ i }}
          json: {tell: {links: ["{{ run.links.reply }}"]}}
        keep: {receipt: "{{ output.body.receipt }}"}
      - {id: reply, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}
      - {DO(replied, replied-{{ i }})}
"""
_LISTENING = """
steps:
  - id: ask
    use: http.post
    with: {url: "LEDGER/effects/{{ inputs.event }}/ask", json: {tell: {events: "{{ inputs.event }}"}}}
    keep: {receipt: "{{ output.body.receipt }}"}
  - id: one
    use: wait.event
    with: {type: kill.said, match: "{{ inputs.event }}", look_back: 1h}
    timeout: 1h
    on_timeout: fail
  - {DO(between)}
  - id: two
    use: wait.any
    with:
      waits:
        event: {use: wait.event, with: {type: kill.said, match: "{{ inputs.event }}", look_back: 1h}}
        never: {use: wait.webhook}
    timeout: 1h
    on_timeout: fail
  - {DO(after)}
"""
_ASKING = """
steps:
  - id: both
    parallel:
      say:
        - id: call
          use: flow.call
          with: {pipeline: telling, inputs: {event: "{{ inputs.event }}.t", about: "{{ inputs.event }}"}}
      hear:
        - id: hear
          use: wait.event
          with: {type: kill.told, match: "{{ inputs.event }}"}
          timeout: 1h
          on_timeout: fail
        - {DO(heard)}
  - {DO(after)}
"""
_TELLING = """
id: telling
inputs: {event: {type: string}, about: {type: string}}
steps:
  - {DO(telling)}
  - {id: tell, use: flow.emit, with: {type: kill.told, subject: "{{ inputs.about }}", data: "{{ inputs.event }}"}}
"""
_HEARING = """
id: hearing
triggers: [{id: told, use: event, with: {type: kill.told}, inputs: {event: "{{ trigger.subject }}.h"}}]
inputs: {event: {type: string}}
steps: [{DO(hearing)}]
"""
_ECHOING = """
steps:
  - {DO(before)}
  - id: both
    parallel:
      say: [{id: tell, use: flow.emit, with: {type: kill.echo, subject: "{{ inputs.event }}", data: {n: 1}}}]
      hear:
        - id: echo
          use: wait.event
          with: {type: kill.echo, match: "{{ inputs.event }}"}
          timeout: 1h
          on_timeout: fail
        - {DO(heard)}
  - {DO(after)}
"""
_CALLING = """
steps:
  - {DO(begun)}
  - {id: one, use: flow.call, with: {pipeline: helping, inputs: {event: "{{ inputs.event }}.c", fails: false}}}
  - id: each
    foreach: "[0, 1, 2, 3]"
    as: i
    max_parallel: 3
    steps:
      - id: many
        use: flow.call
        with: {pipeline: helping, inputs: {event: "{{ inputs.event }}.{{ i }}", fails: false}}
  - id: apart
    use: flow.call
    with: {pipeline: helping, inputs: {event: "{{ inputs.event }}.d", fails: false}, detach: true}
  - id: guard
    try:
      - {id: bad, use: flow.call, with: {pipeline: helping, inputs: {event: "{{ inputs.event }}.x", fails: true}}}
    catch: [{steps: [{DO(caught)}]}]
  - {DO(after)}
"""
_HELPING = """
id: helping
inputs: {event: {type: string}, fails: {type: boolean}}
steps:
  - {DO(help)}
  - {DO(declined), if: inputs.fails}
outputs: {receipt: "{{ steps.help.output.receipt }}"}
"""
_HOLDS = """
  - {DO(first), UNDO(first)}
  - id: holds
    foreach: "[0, 1, 2]"
    as: i
    steps: [{DO(hold, hold-{{ i }}), UNDO(hold-{{ i }})}]
"""
_UNDOING = f"""
steps:{_HOLDS}
  - {{DO(declined)}}
on_failure:
  - {{id: back, use: flow.undo}}
  - {{DO(told)}}
"""
_REVERTING = """
steps:
  - id: guard
    try:
      - {DO(first), UNDO(first)}
      - id: holds
        foreach: "[0, 1, 2]"
        as: i
        steps: [{DO(hold, hold-{{ i }}), UNDO(hold-{{ i }})}]
      - {id: pause, use: wait.delay, with: {for: 200ms}}
      - {DO(declined)}
    finally:
      - {id: back, use: flow.undo}
      - {DO(cleanup)}
"""
_QUEUEING = """
concurrency: {limit: 3, overflow: queue}
steps: [{DO(enter)}, {id: stay, use: wait.delay, with: {for: 600ms}}, {DO(leave)}]
"""
_SKIPPING = """
concurrency: {key: "{{ inputs.n % 2 }}", limit: 1, overflow: skip}
steps: [{DO(enter)}, {id: stay, use: wait.delay, with: {for: 200ms}}, {DO(leave)}]
"""
_REPLACING = """
concurrency: {limit: 2, overflow: cancel_oldest}
steps:
  - id: guard
    try: [{DO(enter)}, {id: stay, use: wait.delay, with: {for: 500ms}}, {DO(leave)}]
    finally: [{DO(cleanup)}]
"""
_PARKING = """
steps:
  - id: each
    foreach: "[0, 1]"
    as: i
    max_parallel: 2
    on_item_error: collect
    steps: [{DO(park, park-{{ i }}), on_crash: park}]
  - {DO(after)}
"""
_RETRYING = """
steps:
  - {DO(begun)}
  - id: each
    foreach: "[0, 1, 2]"
    as: i
    steps:
      - {DO(cell, cell-{{ i }})}
      - {id: pause, use: wait.delay, with: {for: 50ms}}
      - {DO(declined, declined-{{ i }}), if: i == 1}
on_failure: [{id: note, use: log.write, with: {message: It failed}}]
"""
_PAUSING = """
steps:
  - {DO(declined), on_exhausted: pause}
  - {DO(after)}
"""
_PAGING = """
steps:
  - {DO(begun)}
  - id: fetch
    use: pager.list
    with: {url: "LEDGER/effects/{{ inputs.event }}", pages: 5}
    keep: {receipts: "{{ output | map(attribute='receipt') | list }}"}
  - {DO(after)}
"""
_BURSTING = """
steps:
  - id: many
    foreach: "'MANY' | list"
    max_parallel: 40
    steps: [{DO(mark, mark-{{ index }}), if: index % 400 == 0}]
  - {DO(after)}
""".replace("MANY", "x" * 1300)
_SENT = {
    "choosing": _CHOOSING,
    "items": _ITEMS,
    "stopping": _STOPPING,
    "branches": _BRANCHES,
    "guarded": _GUARDED,
    "polling": _POLLING,
    "waiting": _WAITING,
    "listening": _LISTENING,
    "asking": _ASKING,
    "echoing": _ECHOING,
    "calling": _CALLING,
    "undoing": _UNDOING,
    "reverting": _REVERTING,
    "queueing": _QUEUEING,
    "skipping": _SKIPPING,
    "replacing": _REPLACING,
    "parking": _PARKING,
    "pausing": _PAUSING,
    "retrying": _RETRYING,
    "paging": _PAGING,
    "bursting": _BURSTING,
}
_CALLED = {"telling": _TELLING, "hearing": _HEARING, "helping": _HELPING}

OFTEN = (
    *("guarded", "waiting", "listening", "asking", "calling", "undoing", "reverting", "replacing", "parking"),
    *("queueing", "queueing", "queueing", "queueing", "pausing", "echoing", "retrying", "paging"),
)
TURNS = (*_SENT, *OFTEN)
"""The pipelines that webhooks start, as often as they do so in one round."""


def _expand_steps(text: str) -> str:
    def do(match: re.Match[str]) -> str:
        id, name = match[1], match[2] or match[1]
        url = f'"LEDGER/effects/{{{{ inputs.event }}}}/{name}"'
        keep = 'keep: {receipt: "{{ output.body.receipt }}"}'
        return f"id: {id}, use: http.post, with: {{url: {url}, json: {{by: {id}}}}}, {keep}"

    def undo(match: re.Match[str]) -> str:
        url = f'"LEDGER/effects/{{{{ inputs.event }}}}/undo-{match[1]}"'
        return f'undo: {{use: http.post, with: {{url: {url}, json: {{of: "{{{{ output.body.receipt }}}}"}}}}}}'

    return re.sub(r"UNDO\(([^)]*)\)", undo, re.sub(r"(?<!UN)DO\((\w+)(?:, ([^)]*))?\)", do, text))


def _make_pipeline(name: str, text: str) -> str:
    return _HEAD.replace("NAME", name) + _DEFAULTS + _expand_steps(text)


PIPELINES: Mapping[str, str] = {
    **{name: _make_pipeline(name, text) for name, text in _SENT.items()},
    **{name: _DEFAULTS + _expand_steps(text) for name, text in _CALLED.items()},
}

# -- expected effects -------------------------------------------------------------------------------------------


class Expected(NamedTuple):
    """The end of a run that is not cancelled: its status, and the effects that it must and may have."""

    status: frozenset[str]
    must: frozenset[str]
    may: frozenset[str] = frozenset()


def _ends(status: str, must: str, may: str = "") -> Callable[[Mapping[str, Any]], Expected]:
    expected = Expected(frozenset(status.split()), frozenset(must.split()), frozenset(may.split()))
    return lambda inputs: expected


def _expect_choice(inputs: Mapping[str, Any]) -> Expected:
    n = inputs["n"]
    chosen = {0: ["zero"], 1: ["one", "odd" if n % 2 else "even"], 2: []}[n % 3]
    return Expected(frozenset({"completed"}), frozenset([*chosen, "after"]))


def _expect_help(inputs: Mapping[str, Any]) -> Expected:
    return _ends("failed", "help declined")(inputs) if inputs["fails"] else _ends("completed", "help")(inputs)


_HELD = "first hold-0 hold-1 hold-2 declined undo-first undo-hold-0 undo-hold-1 undo-hold-2"

_EXPECTED: Mapping[str, Callable[[Mapping[str, Any]], Expected]] = {
    "choosing": _expect_choice,
    "items": _ends(
        "completed",
        "cell-0-0 cell-0-1 cell-0-2 cell-1-1 declined-1-1 cell-2-0 cell-2-1 cell-2-2 after",
        "cell-1-0 cell-1-2",
    ),
    "stopping": _ends("failed", "cell-0 cell-1 declined-1 told"),
    "branches": _ends("completed", "quick declined caught cleanup left more declined-b caught-b"),
    "guarded": _ends("completed", "begun declined caught cleanup cleanup-more after"),
    "polling": _ends("completed", "turn-0 turn-1 turn-2 vain-0 vain-1 caught after"),
    "waiting": _ends("completed", "ask hooked approved late beg-0 beg-1 replied-0 replied-1"),
    "listening": _ends("completed", "ask between after"),
    "asking": _ends("completed", "heard after"),
    "echoing": _ends("completed", "before heard after"),
    "telling": _ends("completed", "telling"),
    "hearing": _ends("completed", "hearing"),
    "calling": _ends("completed", "begun caught after"),
    "helping": _expect_help,
    "undoing": _ends("failed", f"{_HELD} told"),
    "reverting": _ends("failed", f"{_HELD} cleanup"),
    "queueing": _ends("completed", "enter leave"),
    "skipping": _ends("completed", "enter leave"),
    "replacing": _ends("completed", "enter leave cleanup"),
    "parking": _ends("completed", "after", "park-0 park-1"),
    "pausing": _ends("completed failed", "declined", "after"),
    "retrying": _ends("failed", "begun cell-0 cell-1 declined-1"),
    "paging": _ends("completed", "begun page-0 page-1 page-2 page-3 page-4 after"),
    "bursting": _ends("completed", "mark-0 mark-400 mark-800 mark-1200 after"),
}


def expect_end(pipeline: str, inputs: Mapping[str, Any]) -> Expected:
    return _EXPECTED[pipeline](inputs)


CANCELLED = frozenset({"guarded", "calling", "reverting", "waiting"})
"""Of these some runs are cancelled in the middle."""

RETRIED = "retrying"
"""Its runs fail, and people retry each of them several times."""

GUARDED = {"guarded": ("cleanup", "cleanup-more"), "reverting": ("cleanup",), "replacing": ("cleanup",)}
"""The pipelines whose `try`, which is `guard`, has a `finally` with these effects."""

LIMITS: Mapping[str, tuple[int, Callable[[int], object]]] = {
    "queueing": (3, lambda n: None),
    "skipping": (1, lambda n: n % 2),
    "replacing": (2, lambda n: None),
}
"""How many runs may hold a slot at once, and what they contend for."""

CALLS = frozenset({"c", "0", "1", "2", "3", "d", "x"})
"""The endings of the events of the runs that one of `calling` calls."""
