"""AES-256-GCM, apart from what uses it: its library takes 7 MB, which a service without a store key saves."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def encrypt(key: bytes, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    """Encrypt and authenticate `data`; `bound` is authenticated with it."""
    return AESGCM(key).encrypt(nonce, data, bound)


def decrypt(key: bytes, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    """Decrypt what `encrypt` returned; raises `ValueError` if anything was changed."""
    try:
        return AESGCM(key).decrypt(nonce, data, bound)
    except InvalidTag:
        raise ValueError("the ciphertext was changed") from None
