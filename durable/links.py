"""Links that answer a wait: whoever holds one may answer that wait, and nothing else.

A link ends in run, path and a proof, which is BLAKE2b of both under a key of the run's own
(https://www.rfc-editor.org/rfc/rfc7693).
"""

import hashlib
import hmac

from durable.history import Links

PROOF_BYTES = 16


def link(links: Links, run: str, path: str) -> str:
    """Where the wait at that path is answered."""
    return f"{links.url}/{run}/{path}/{proof(links.key, run, path)}"


def proof(key: str, run: str, path: str) -> str:
    """What only the holder of a link knows, in hex."""
    digest = hashlib.blake2b(f"{run}\0{path}".encode(), key=key.encode(), digest_size=PROOF_BYTES)
    return digest.hexdigest()


def is_proof(given: str, key: str, run: str, path: str) -> bool:
    """Whether a proof is that of the wait; takes the same time for every wrong one."""
    return hmac.compare_digest(given.encode(errors="replace"), proof(key, run, path).encode())
