"""The body of a delivery, as commands read it."""

from typing import NamedTuple


class DeliveryBody(NamedTuple):
    """The bytes of a delivery's body. `is_redacted`: a secret in them was replaced."""

    data: bytes
    is_redacted: bool
