"""How commands reach runs: over the API of the running service, or from the journal itself where none runs.

What reads the journal is imported only there: that takes longer than most commands do.
"""

from triggers.reading.reading import RunReader, open_run_reader
from triggers.reading.service import Mistake, OverApi, Refused, connect_service

__all__ = ["Mistake", "OverApi", "Refused", "RunReader", "connect_service", "open_run_reader"]
