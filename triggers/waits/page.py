"""The page on which a person reads what is asked and answers it. It runs no script."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from durable.values import JSON
from triggers.html.environment import make_environment
from triggers.waits.answer import AnswerProblem
from triggers.waits.form import build_form
from triggers.waits.question import Question

EARLY = "This is not asked yet. Anyone with this link can answer, once; the answer is kept until it is asked."

_templates = make_environment(Path(__file__).parent / "templates")


def render_question(
    question: Question,
    *,
    is_early: bool = False,
    wrong: Sequence[AnswerProblem] = (),
    filled: Mapping[str, JSON] | None = None,
    comment: str = "",
) -> str:
    """The question with a form. An invalid answer is shown again as it was filled in, with its problems."""
    return _templates.get_template("question.html").render(
        title=question.title or "An answer is awaited",
        said=EARLY if is_early else _explain_question(question),
        question=question,
        fields=build_form(question.fields, filled),
        comment=comment,
        wrong=wrong,
    )


def _explain_question(question: Question) -> str:
    to = f"For {', '.join(question.to)}. " if question.to else ""
    if question.due is None:
        return f"{to}Anyone with this link can answer, once."
    until = datetime.fromtimestamp(question.due / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{to}Anyone with this link can answer, once, until {until}."
