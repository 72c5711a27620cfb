"""Client certificates: sent to the service that asks for them, and never shared between connections."""

import datetime
import ssl
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed
from connectors.wire.certificate import CertificateRefused, ClientCertificate
from durable.action import ActionError, Context
from tests.connectors.servers import OK, answering, serve

pytestmark = pytest.mark.anyio

PEM = serialization.Encoding.PEM


def make_pair(name: str, passphrase: str | None = None) -> tuple[str, str]:
    """Return a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption: Any = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)
    return made.public_bytes(PEM).decode(), private.decode()


SERVER, SERVER_KEY = make_pair("server")
ANN, ANN_KEY = make_pair("ann")
BOB, BOB_KEY = make_pair("bob", "a passphrase")


def require_certificates(tmp_path: Path) -> ssl.SSLContext:
    file = tmp_path / "server.pem"
    file.write_text(SERVER + SERVER_KEY)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ANN + BOB)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(file)
    return context


async def get(context: Context, url: str, **settings: str) -> int:
    context = replace(context, auth={"client_certificate": {"ca": SERVER, **settings}})
    return (await send_signed(context, OutgoingRequest("GET", url))).response.status


async def test_a_certificate_proves_the_client_and_its_connections_are_not_shared(
    context: Context, tmp_path: Path
) -> None:
    async with serve(answering(OK), tls=require_certificates(tmp_path)) as server:
        url = f"https://127.0.0.1:{server.port}/"
        for _ in range(2):
            assert await get(context, url, certificate=ANN, key=ANN_KEY) == 200
        assert server.connections == 1
        assert await get(context, url, certificate=BOB, key=BOB_KEY, passphrase="a passphrase") == 200
        assert server.connections == 2
        with pytest.raises(ActionError, match="the service may have refused the client certificate"):
            await get(context, url, certificate=SERVER, key=SERVER_KEY)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"key": BOB_KEY}, "the key is encrypted: give its passphrase"),
        ({"passphrase": "canary"}, "the key is not encrypted: remove the passphrase"),
        ({"key": BOB_KEY, "passphrase": "canary"}, "the passphrase is wrong"),
        ({"key": SERVER_KEY}, "the key does not belong to the certificate"),
        ({"key": "canary"}, "the key is not PEM"),
        ({"certificate": "canary"}, "the certificate is not PEM"),
        ({"ca": "canary"}, "the ca is not PEM"),
        ({"ca": ""}, "does not accept ca"),
    ],
)
async def test_a_certificate_that_cannot_be_used_sends_nothing(
    context: Context, changes: dict[str, str], expected: str
) -> None:
    with pytest.raises(ActionError, match=expected) as caught:
        await get(context, "https://127.0.0.1:1/", **{"certificate": ANN, "key": ANN_KEY} | changes)
    assert (caught.value.code, caught.value.ending) == ("invalid_request", "not_sent")
    assert "canary" not in str(caught.value)


def test_the_key_is_never_on_the_disk_in_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file has the key encrypted, and is gone afterwards."""
    import tempfile

    written: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def watch(self: ssl.SSLContext, file: str, **given: Any) -> None:
        written.append(Path(file).read_text())
        load(self, file, **given)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    ClientCertificate(ANN, ANN_KEY).make_context()
    assert "BEGIN ENCRYPTED PRIVATE KEY" in written[0]
    assert "BEGIN PRIVATE KEY" not in written[0]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CertificateRefused):
        ClientCertificate("x", ANN_KEY).make_context()
    assert list(tmp_path.iterdir()) == []
    assert "PRIVATE" not in repr(ClientCertificate(ANN, ANN_KEY))
