"""`oauth2`: access tokens of OAuth 2.0 (RFC 6749), for the client itself or after a login with PKCE (RFC 7636)."""

from collections.abc import Iterable
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from connectors.auth.oauth2_flow import ClientAuth, GrantType, OAuth2Flow
from connectors.auth.request import OutgoingRequest
from connectors.wire.request import find_header_problem
from connectors.wire.url import ensure_written
from durable.action import Context, Credential, Inputs, LiteralError, Secret
from durable.auth_schemes import AuthScheme
from durable.grant import take_access_tokens
from durable.wording import quote

OWN_AUTHORIZE_PARAMS = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}
)
OWN_TOKEN_PARAMS = frozenset(
    {"grant_type", "assertion", "code", "redirect_uri", "code_verifier", "refresh_token", "client_id", "client_secret"}
)
"""The parameters that the scheme itself sends."""


def _check_url(url: str, info: ValidationInfo) -> str:
    if info.context is not None:
        ensure_written(url, is_alone=True)
    return url


def _check_header(name: str) -> str:
    if problem := find_header_problem(name):
        raise LiteralError(problem)
    return name


Endpoint: TypeAlias = Annotated[Secret, AfterValidator(_check_url)]


class OAuth2Settings(Inputs):
    """The client, the URLs of the service, and the requested scopes."""

    grant: GrantType = Field(
        default="authorization_code",
        description="`authorization_code`: for the account of a person, who logs in once with `waypost connections "
        "login`; `client_credentials`, `jwt_bearer`: for the client itself, which authenticates with its secret or its "
        "private key",
    )
    client_id: Secret = Field(
        min_length=1, description="The client id that the service issued; the name of a service account"
    )
    client_secret: Credential | None = Field(
        default=None, min_length=1, description="The client secret; a public client has none"
    )
    private_key: Credential | None = Field(
        default=None, min_length=1, description="The RSA key of `jwt_bearer`, in PEM without a passphrase"
    )
    key_id: Secret | None = Field(default=None, description="The id of the private key, if the service requires it")
    claims: dict[str, Secret] = Field(
        default_factory=dict,
        description="Further claims of `jwt_bearer`, such as `sub`, or `aud` in place of `token_url`",
    )
    issuer: Endpoint | None = Field(
        default=None, description="The URL of the issuer, whose metadata (RFC 8414) contains the other URLs"
    )
    authorize_url: Endpoint | None = Field(default=None, description="The URL at which a person permits the access")
    token_url: Endpoint | None = Field(default=None, description="The URL that issues access tokens")
    revoke_url: Endpoint | None = Field(
        default=None, description="The URL that revokes tokens (RFC 7009), for a logout"
    )
    scopes: list[Secret] = Field(default_factory=list, description="The requested scopes")
    separator: str = Field(default=" ", description="The text between two scopes in requests")
    pkce: bool = Field(default=True, description="Whether the service supports PKCE, with S256")
    client_auth: ClientAuth | None = Field(
        default=None,
        description="How the client authenticates: in the Authorization header, in the body, or not at all; default: "
        "what the issuer's metadata names, otherwise `basic`, or `none` without a secret",
    )
    authorize_params: dict[str, Secret] = Field(
        default_factory=dict,
        description="Further parameters of the authorization request, such as `access_type: offline`",
    )
    token_params: dict[str, Secret] = Field(
        default_factory=dict, description="Further parameters of token requests, such as `audience`"
    )
    header: Annotated[str, AfterValidator(_check_header)] = Field(
        default="authorization", description="The header in which the access token is sent"
    )
    prefix: Secret = Field(default="Bearer ", description="Text before the access token")

    @model_validator(mode="after")
    def check_addresses(self) -> Self:
        if self.token_url is None and self.issuer is None:
            raise ValueError("add 'token_url', or 'issuer', whose metadata contains it")
        if self.grant == "authorization_code" and self.authorize_url is None and self.issuer is None:
            raise ValueError("a login needs 'authorize_url', or 'issuer', whose metadata contains it")
        return self

    @model_validator(mode="after")
    def check_client(self) -> Self:
        if self.client_secret is None and (self.grant == "client_credentials" or self.client_auth in {"basic", "post"}):
            raise LiteralError("'client_secret' is missing: the client authenticates with it")
        if self.private_key is None and self.grant == "jwt_bearer":
            raise LiteralError("'private_key' is missing: the client authenticates with it")
        if self.private_key is not None and self.grant != "jwt_bearer":
            raise LiteralError("'private_key' needs 'grant: jwt_bearer'")
        return self

    @model_validator(mode="after")
    def check_params(self) -> Self:
        _refuse_own("authorize_params", self.authorize_params, OWN_AUTHORIZE_PARAMS)
        _refuse_own("token_params", self.token_params, OWN_TOKEN_PARAMS)
        return self


def _refuse_own(field: str, names: Iterable[str], own: frozenset[str]) -> None:
    for name in names:
        if name in own:
            raise LiteralError(f"{quote(name)} cannot be set in '{field}': the scheme itself sends it")


FLOW = OAuth2Flow()


async def add_access_token(context: Context, settings: OAuth2Settings, request: OutgoingRequest) -> OutgoingRequest:
    token = await take_access_tokens(context).get_token(context, FLOW, settings)
    return request.with_headers({settings.header: f"{settings.prefix}{token}"})


OAUTH2 = AuthScheme("oauth2", OAuth2Settings, add_access_token, "Access tokens of OAuth 2.0", flow=FLOW)
