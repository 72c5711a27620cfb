"""The edited input of a step: checked as the step's action checks it, with secrets as references."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pydantic import BaseModel, ValidationError

from durable.blocks.core_actions import CORE_ACTIONS
from durable.declared import write_texts
from durable.definition import Definition
from durable.engine import RecordedInput
from durable.history.words import SecretPlaceholder
from durable.redactor import Redactor
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.steps.node import ActionNode
from durable.values import JSON
from durable.wording import PROBLEMS_LIMIT, explain_error
from triggers.config.folder import Folder
from triggers.repeats.refusal import RepeatRefused

_REFERENCE = re.compile(r"\{\{\s*secrets\.")


@dataclass(frozen=True, slots=True)
class InputEdit:
    """An edit of the input of a step: `whole` replaces it, `changes` are put over it by name."""

    folder: Folder
    secrets: Secrets
    definition: Definition
    step: str
    whole: Mapping[str, JSON] | None
    changes: Mapping[str, JSON]

    def edit(self, recorded: RecordedInput | None) -> RecordedInput:
        """The input with the edit; raises `RepeatRefused`.

        A reference to a secret stays where it was, unless its place gets another value. Where the edit has the text
        with which a recorded reference is shown, it is that reference.
        """
        if recorded is None and self.whole is None:
            raise RepeatRefused(f"no input of {self.step} was recorded: give the whole input", is_unfit=True)
        before = recorded.input if recorded and isinstance(recorded.input, dict) else {}
        edited = dict(self.changes) if self.whole is None else {**self.whole, **self.changes}
        ensure_no_secret(self.secrets.redactor, edited)
        given: dict[str, JSON] = {**(before if self.whole is None else {}), **edited}
        kept = tuple(each for each in (recorded.secrets if recorded else ()) if _is_kept(each, given, edited))
        given = reduce(lambda value, each: _put_null(value, each.pointer), kept, given)
        if _REFERENCE.search(_join_texts([value for name, value in given.items() if name in edited])):
            what = f"{self.step} did not use this secret there, and a fork cannot add one"
            raise RepeatRefused(f"{what}: change the pipeline, and fork on the newest version", is_unfit=True)
        self._check(given, kept)
        return RecordedInput(given, kept)

    def _check(self, given: JSON, kept: Sequence[SecretPlaceholder]) -> None:
        """Check the input with its secrets against the model of the step's action; raises `RepeatRefused`."""
        node = self.definition.nodes[self.step]
        if not isinstance(node, ActionNode):
            return  # the engine refuses it
        use = node.step.use
        model = self._find_model(use)
        try:
            filled, _ = fill_secrets(given, kept, self.secrets)
            model.model_validate(write_texts(model, filled))
        except SecretMissing as missing:
            raise RepeatRefused(str(missing)) from None
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)[:PROBLEMS_LIMIT]
            listed = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {explain_error(each)}" for each in problems)
            if any(each["type"] == "extra_forbidden" and each["loc"][0] in self.changes for each in problems):
                known = ", ".join(str(field.alias or name) for name, field in model.model_fields.items())
                listed += f"; `set` gives a whole key ({known}), such as NAME={{…}} for a part of NAME"
            what = self.secrets.redactor.redact_text(f"input of {use}: {listed}")
            raise RepeatRefused(what, is_unfit=True) from None

    def _find_model(self, use: str) -> type[BaseModel]:
        core, action = CORE_ACTIONS.get(use), self.folder.find_action(use)
        if core is not None:
            return core.input
        if action is None:
            raise RepeatRefused(f"no connector offers {use} any more")
        return action.input


def ensure_no_secret(redactor: Redactor, given: JSON) -> None:
    """Raise `RepeatRefused` if what was given contains the value of a secret: a history never contains one."""
    if redactor.redact(given) != given:
        raise RepeatRefused(
            "the input contains the value of a secret, which must not be recorded: leave the recorded "
            "`{{ secrets.NAME }}` where it is",
            is_unfit=True,
        )


def _is_kept(placeholder: SecretPlaceholder, given: Mapping[str, JSON], edited: Mapping[str, JSON]) -> bool:
    """Whether a secret still stands at its place."""
    if not placeholder.pointer or placeholder.pointer[0] not in edited:
        return True
    shown = "".join(part if isinstance(part, str) else f"{{{{ secrets.{part.secret} }}}}" for part in placeholder.parts)
    return _get_at(given, placeholder.pointer) == shown


def _get_at(value: object, pointer: Sequence[str | int]) -> object:
    for key in pointer:
        match value, key:
            case dict(), str():
                value = value.get(key)
            case list(), int() if 0 <= key < len(value):
                value = value[key]
            case _:
                return None
    return value


def _put_null(value: Any, pointer: Sequence[str | int]) -> Any:
    """The value with null where a secret stands, as in every recorded input."""
    if not pointer:
        return None
    key, *rest = pointer
    match value, key:
        case dict(), str():
            return {**value, key: _put_null(value.get(key), rest)}
        case list(), int() if 0 <= key < len(value):
            return [*value[:key], _put_null(value[key], rest), *value[key + 1 :]]
    return value


def _join_texts(value: JSON) -> str:
    """All texts in a value, each on a line."""
    match value:
        case str():
            return value
        case dict():
            return "\n".join(map(_join_texts, value.values()))
        case list():
            return "\n".join(map(_join_texts, value))
    return ""
