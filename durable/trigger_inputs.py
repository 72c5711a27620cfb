"""The base of the models of trigger inputs."""

from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar

from durable.action import Inputs
from durable.problem import DataProblem, Pointer
from durable.values import JSON


class TriggerInputs(Inputs):
    """The base of the models of trigger inputs. The methods take inputs that may be invalid.

    `arrival`: the fields of `trigger` that its events have.
    `identifying`: the inputs that distinguish deliveries.
    """

    arrival: ClassVar[frozenset[str]] = frozenset({"id", "type", "time", "source", "subject"})
    identifying: ClassVar[tuple[Pointer, ...]] = ()

    @classmethod
    def withheld_headers(cls, given: Mapping[str, JSON]) -> frozenset[str]:
        """Return the headers that are not stored with events, in lower case."""
        return frozenset()

    @classmethod
    def find_path_parameters(cls, given: Mapping[str, JSON]) -> Collection[str] | None:
        """Return the names of the fields of `trigger.path`; None if they are unknown."""
        return None

    @classmethod
    def find_doubts(cls, given: Mapping[str, JSON]) -> Iterator[DataProblem]:
        """Warn about valid inputs that are probably mistakes."""
        return iter(())
