"""How commands reach runs: over the API of the running service, or from the journal itself where none runs.

What reads the journal is imported only there: that takes longer than most commands do.
"""

from triggers.reading.reading import Reading, reading
from triggers.reading.service import Mistake, OverApi, Refused, service

__all__ = ["Mistake", "OverApi", "Reading", "Refused", "reading", "service"]
