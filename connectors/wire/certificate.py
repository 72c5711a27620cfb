"""Client certificates (mutual TLS), and the contexts of TLS connections.

CertificateRefused      a certificate, a key or a CA that cannot be used
"""

import secrets
import ssl
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile

import certifi
from cryptography.hazmat.primitives import serialization


class CertificateRefused(ValueError):
    """A certificate, a key or a CA that cannot be used; the message says which and why, without its text."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate with its key, in PEM.

    `chain`: the certificate, then those that lead to the CA.
    `passphrase`: that of the key.
    `ca`: the certificates that may have signed the server's; None means those of the machine and of browsers.
    """

    chain: str = field(repr=False)
    key: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)

    def make_context(self) -> ssl.SSLContext:
        """Return the context of connections with this certificate; raises `CertificateRefused`."""
        context = make_tls_context(self.ca)
        password = secrets.token_hex(16)
        pair = self._encrypt_key(password) + b"\n" + self.chain.encode()
        # OpenSSL reads keys only from files; the key is on the disk for a moment, encrypted with a random password.
        with NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair)
            file.flush()
            try:
                context.load_cert_chain(file.name, password=password)
            except ssl.SSLError as error:
                is_other = error.reason == "KEY_VALUES_MISMATCH"
                what = "the key does not belong to the certificate" if is_other else "the certificate is not PEM"
                raise CertificateRefused(what) from None
        return context

    def _encrypt_key(self, password: str) -> bytes:
        given = self.passphrase.encode() if self.passphrase is not None else None
        try:
            key = serialization.load_pem_private_key(self.key.encode(), given)
        except TypeError:
            what = "is encrypted: give its passphrase" if given is None else "is not encrypted: remove the passphrase"
            raise CertificateRefused(f"the key {what}") from None
        except ValueError:
            what = "the key is not PEM" if given is None else "the key is not PEM, or the passphrase is wrong"
            raise CertificateRefused(what) from None
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )


def make_tls_context(ca: str | None = None) -> ssl.SSLContext:
    """Return the context of connections to servers whose certificates the CA has signed, or by default one that the
    machine or browsers trust. Raises `CertificateRefused`."""
    try:
        context = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise CertificateRefused("the ca is not PEM") from None
    if ca is None:
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
