"""Progress: what attempts report while they run. It is kept in memory alone, the last value and the text so far of each
attempt, until the attempt ends: then its checkpoint, or its error, tells more."""

from collections.abc import Callable, Iterator

import msgspec

from durable.redactor import MARK, Redactor
from durable.values import JSON

TEXT_LIMIT = 256 * 1024
"""The characters of an attempt's text; what follows is left out."""

VALUE_LIMIT = 16 * 1024
"""The bytes of a value; a larger one is not shown."""

OVERLAP = 512
"""The characters before a piece of text that are searched for secrets together with it."""


class StepProgress:
    """What an attempt of a step has reported. `number` increases with each report on the board. `text` can be shown;
    `_held` cannot yet: it may be the beginning of a word that contains a secret."""

    def __init__(self, run: str, path: str, attempt: int) -> None:
        self.run = run
        self.path = path
        self.attempt = attempt
        self.number = 0
        self.value = b"null"
        self.text = ""
        self._held = ""
        self._before = ""
        self._has_secret = False

    def set_value(self, value: JSON, redactor: Redactor | None) -> None:
        """Replace the value."""
        encoded = msgspec.json.encode(redactor.redact(value) if redactor else value)
        if len(encoded) <= VALUE_LIMIT:
            self.value = encoded

    def add_text(self, text: str, redactor: Redactor | None) -> None:
        """Add to the text. If the attempt has secrets, text is shown word by word; after one that contains a secret, no
        more is shown, since parts of it may stand in the next pieces."""
        if self._has_secret or len(self.text) >= TEXT_LIMIT:
            return
        if redactor is None or not redactor.knows_any:
            self.text += text
            return
        held = self._held + text
        cut = max(held.rfind(" "), held.rfind("\n")) + 1
        shown, self._held = held[:cut], held[cut:][-TEXT_LIMIT:]
        if redactor.redact_text(self._before + shown) != self._before + shown:
            shown, self._has_secret = MARK, True
        self.text += shown
        self._before = (self._before + shown)[-OVERLAP:]


class ProgressBoard:
    """The progress of the attempts that run now. `notify` is called after each report, with the run, in the thread of
    the action."""

    def __init__(self, notify: Callable[[str], None] = lambda run: None) -> None:
        self.notify = notify
        self._number = 0
        self._of_run: dict[str, dict[str, StepProgress]] = {}

    def report(self, run: str, path: str, attempt: int, value: JSON, text: str, redactor: Redactor | None) -> None:
        """Take what an attempt reports: a value, unless it is None, and a piece of text."""
        steps = self._of_run.setdefault(run, {})
        found = steps.get(path)
        if found is None or found.attempt != attempt:
            found = steps[path] = StepProgress(run, path, attempt)
        if value is not None:
            found.set_value(value, redactor)
        if text:
            found.add_text(text, redactor)
        self._number += 1
        found.number = self._number
        self.notify(run)

    def clear(self, run: str, path: str) -> None:
        """Forget the progress of a step whose attempt has ended."""
        steps = self._of_run.get(run, {})
        steps.pop(path, None)
        if not steps:
            self._of_run.pop(run, None)

    def list_reports(self, run: str, after: int) -> Iterator[StepProgress]:
        """The progress of a run's steps that was reported after that number."""
        return (each for each in list(self._of_run.get(run, {}).values()) if each.number > after)
