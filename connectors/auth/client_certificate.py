"""`client_certificate`: a certificate that proves who the client is when the connection is made (mutual TLS)."""

from dataclasses import replace

from pydantic import Field

from connectors.auth.request import OutgoingRequest
from connectors.wire.certificate import ClientCertificate
from durable.action import Context, Credential, Inputs, Secret
from durable.auth_schemes import AuthScheme


class CertificateSettings(Inputs):
    """The certificate and its key, in PEM, which secrets can read from files."""

    certificate: Secret = Field(min_length=1, description="The certificate, then those that lead to its CA")
    key: Credential = Field(min_length=1, description="The private key")
    passphrase: Credential | None = Field(default=None, description="The passphrase of the key")
    ca: Secret | None = Field(
        default=None,
        min_length=1,
        description="The certificates that may have signed the service's; default: those that the machine and browsers "
        "trust",
    )


async def add_certificate(context: Context, settings: CertificateSettings, request: OutgoingRequest) -> OutgoingRequest:
    certificate = ClientCertificate(settings.certificate, settings.key, settings.passphrase, settings.ca)
    return replace(request, certificate=certificate)


CLIENT_CERTIFICATE = AuthScheme(
    "client_certificate", CertificateSettings, add_certificate, "A client certificate (mutual TLS)"
)
