"""The secrets of the encrypted store, decrypted for `durable.secrets`."""

from collections.abc import Iterable

from durable.encrypted_store.errors import ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing
from durable.secrets import StoredSecrets
from durable.units import SealedValue


def decrypt_secrets(ring: KeyRing, values: Iterable[SealedValue]) -> tuple[StoredSecrets, list[ValueUnreadable]]:
    """Decrypt the secrets among the values. Also returns why values of any kind cannot be decrypted."""
    texts: dict[str, str] = {}
    problems: list[ValueUnreadable] = []
    for value in values:
        try:
            text = ring.open(value)
        except ValueUnreadable as problem:
            problems.append(problem)
            continue
        if value.kind == "secret":
            texts[value.name] = text
    unreadable = {each.name: (each.problem, explain_cure(each)) for each in problems if each.kind == "secret"}
    return StoredSecrets(texts, unreadable), problems


def explain_cure(problem: ValueUnreadable) -> str:
    """Say what to do about a value that cannot be decrypted."""
    again = "log in again" if problem.kind == "token" else f"`waypost secrets remove {problem.name}` and set it again"
    if problem.key is None:
        return f"restore a backup, or {again}"
    return f"start the service with that key (WAYPOST_STORE_KEY_FILE), or {again}"
