"""The errors of the encrypted store.

SecretRefused           a name or a value that cannot be stored as a secret
StoreError              the store refuses an operation
├── StoreKeyMissing     there is no store key, so that nothing can be encrypted
├── StoreKeyFixed       the store key cannot be replaced by a command
└── ValueUnreadable     a value cannot be decrypted: its key is missing, or it was changed outside of Waypost
"""

from durable.units import SealedKind

NEW_KEY = "`waypost secrets key new FILE`"
"""The command that makes a store key."""


class SecretRefused(Exception):
    """This cannot be stored as a secret; the message says why, without the value."""


class StoreError(Exception):
    """The base of the store's errors."""


class StoreKeyMissing(StoreError):
    """There is no usable store key, for this reason. The message says what to do."""

    def __init__(self, problem: str | None = None) -> None:
        what = problem or "no key for the encrypted store is set"
        super().__init__(f"{what}: {NEW_KEY} makes one; start the service with WAYPOST_STORE_KEY_FILE=FILE")


class StoreKeyFixed(StoreError):
    """The store key is where a command cannot write; the message says what to do."""


class ValueUnreadable(StoreError):
    """A stored value cannot be decrypted. `key`: the id of the key that it needs, None if that key is here."""

    def __init__(self, kind: SealedKind, name: str, problem: str, key: str | None = None) -> None:
        super().__init__(f"the stored {kind} {name} {problem}")
        self.kind, self.name, self.problem, self.key = kind, name, problem, key
