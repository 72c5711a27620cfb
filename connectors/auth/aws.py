"""`aws_sigv4`: requests to Amazon Web Services and compatible services, signed with Signature Version 4.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from posixpath import normpath
from urllib.parse import quote, unquote_plus

from pydantic import Field

from connectors.auth.request import OutgoingRequest
from durable.action import Context, Credential, Inputs, Secret
from durable.auth_schemes import AuthScheme
from durable.clock import now

_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsSettings(Inputs):
    """An access key, and the region and the service that requests go to."""

    access_key_id: Secret = Field(min_length=1, description="The id of the access key")
    secret_access_key: Credential = Field(min_length=1, description="The secret access key")
    session_token: Credential | None = Field(default=None, description="The session token of temporary credentials")
    region: Secret = Field(min_length=1, description="The region, such as `eu-central-1`")
    service: Secret = Field(min_length=1, description="The service's signing name, such as `s3` or `sqs`")


async def sign_aws(context: Context, settings: AwsSettings, request: OutgoingRequest) -> OutgoingRequest:
    signed = add_aws_signature(settings, request, now())
    context.conceal(signed.headers["authorization"].rpartition("Signature=")[2])
    return signed


def add_aws_signature(settings: AwsSettings, request: OutgoingRequest, at: int) -> OutgoingRequest:
    """Return the request, signed at that time (in ms); raises `InvalidRequest`."""
    request = _write_query(request.settle_url())
    host, (path, _, query) = request.parse_url().host.decode(), request.parse_url().target.decode().partition("?")
    time = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(request.content or b"").hexdigest()
    added = {"x-amz-date": time, "x-amz-content-sha256": digest}
    if settings.session_token:
        added["x-amz-security-token"] = settings.session_token
    request = request.with_headers(added)
    signed = {name.lower(): value for name, value in request.headers.items()}
    signed = {name: value for name, value in signed.items() if name == "content-type" or name.startswith("x-amz-")}
    signed["host"] = host
    names = ";".join(sorted(signed))
    headers = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    canonical = "\n".join((request.method, _write_path(path, settings.service), query, headers, names, digest))
    scope = f"{time[:8]}/{settings.region}/{settings.service}/aws4_request"
    text = "\n".join((_ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{settings.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{_ALGORITHM} Credential={settings.access_key_id}/{scope}"
    return request.with_headers({"authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"})


def _write_query(request: OutgoingRequest) -> OutgoingRequest:
    """Write the query as the signature covers it: sorted, with `%20` for a space, so that the service reads the same
    query that was signed."""
    address, mark, query = request.url.partition("?")
    if not mark:
        return request
    pairs = [each.partition("=") for each in query.split("&") if each]
    written = sorted((_encode(unquote_plus(name)), _encode(unquote_plus(value))) for name, _, value in pairs)
    return replace(request, url=f"{address}?{'&'.join(f'{name}={value}' for name, value in written)}")


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _write_path(path: str, service: str) -> str:
    """Write the path as the signature covers it: S3 takes it as it is sent, other services normalize and encode it."""
    if service == "s3":
        return path
    normal = normpath(path).replace("//", "/") if path else "/"
    return quote(normal + "/" if path.endswith("/") and normal != "/" else normal, safe="/-_.~")


AWS_SIGV4 = AuthScheme("aws_sigv4", AwsSettings, sign_aws, "AWS Signature Version 4", is_signature=True)
