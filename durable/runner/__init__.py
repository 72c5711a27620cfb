"""The shell around the core: it takes runs in, carries facts to the core, appends what is decided and performs it.

It is imported where it is first asked for; a run to be, in `start`, takes nothing of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable.runner.runner import Overloaded, Runner, RunnerLimits

__all__ = ["Overloaded", "Runner", "RunnerLimits"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"{__name__} has no {name}")
    return getattr(import_module(f"{__name__}.runner"), name)
