"""The webhook trigger: its model in pipeline files, and its compiled form."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from re import Pattern
from typing import Any, ClassVar, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from durable.charsets import UTF_8, Charset, UnknownCharset, find_charset
from durable.definition import Definition
from durable.durations import Duration, parse_duration
from durable.expressions.template import Template
from durable.history.words import SecretPlaceholder
from durable.known_values import is_template
from durable.language.pipeline import TriggerSpec
from durable.problem import DataProblem, Pointer
from durable.trigger_inputs import TriggerInputs
from durable.values import JSON
from durable.wording import quote
from triggers.trigger import Kind, Trigger, parse_expressions
from triggers.webhooks.cors import Origins, read_origin
from triggers.webhooks.route import compile_route, has_dots
from triggers.webhooks.scheme import PresetReply
from triggers.webhooks.verifier import Verifier, find_bearing_headers, find_credential_headers

RespondWhen: TypeAlias = Literal["accepted", "result", "step"]
AfterFailure: TypeAlias = Literal["keep", "rerun"]
_FOREIGN_PARAMETER = re.compile(r"(?<=/)(:\w+|<[^/]+>|\[\w+\]|\*+)(?=/|$)")
"""Path parameters of other routers: `/:id`, `/<id>`, `/[id]`, `/*`."""

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class DedupeSpec(BaseModel, extra="forbid", title="Dedupe"):
    """Which deliveries count as duplicates, and for how long."""

    key: str | None = Field(
        None,
        description="An expression that identifies the delivery, such as `{{ trigger.headers['x-id'] }}`; default: "
        "the preset's",
    )
    for_: Duration = Field("7d", alias="for", description="How long a key is remembered")
    after_failure: AfterFailure = Field(
        "keep",
        description="What a duplicate does if all runs of the first delivery have failed: `rerun` starts a new run,"
        " `keep` leaves them as they are",
    )


class WebhookSpec(TriggerInputs):
    """The settings of a webhook trigger."""

    arrival: ClassVar[frozenset[str]] = TriggerInputs.arrival | {"path", "query", "headers", "body"}
    identifying: ClassVar[tuple[Pointer, ...]] = (("dedupe", "key"),)
    public_url: ClassVar[str] = ""

    path: str = Field(
        description="The path below /hooks; {name} matches one segment of it", json_schema_extra={"pattern": "^/"}
    )
    methods: list[Method] = Field(["POST"], min_length=1, description="The HTTP methods that the webhook accepts")
    verify: dict[str, Any] | Literal["none"] = Field(
        description="How senders are authenticated: a preset and a secret, or `none`",
        json_schema_extra={"properties": {"secret": {"secret": True}, "verify_token": {"secret": True}}},
    )
    dedupe: DedupeSpec | None = Field(
        None, description="Which deliveries count as duplicates; default: as the preset defines"
    )
    respond: RespondWhen = Field(
        "accepted",
        description="When to respond: immediately, with the result of the run, or when a step does (`flow.respond`)",
    )
    cors: Origins | None = Field(
        None,
        description="Origins whose pages may call the webhook from a browser, such as `https://shop.example`, or `*` "
        "for all",
        min_length=1,
    )
    charset: str = Field(UTF_8, description="The charset of bodies that declare none, such as `windows-1252`")

    @field_validator("path")
    @classmethod
    def _can_match(cls, path: str) -> str:
        if not path.startswith("/"):
            below = (urlsplit(path).path if "://" in path else path).removeprefix("/hooks").lstrip("/")
            raise ValueError(f"a path begins with '/'; write 'path: /{below[:60] or 'orders'}'")
        if "?" in path or "#" in path:
            raise ValueError("a path ends before ? and #; what follows them is read with {{ trigger.query.NAME }}")
        if has_dots(path):
            raise ValueError("`.` and `..` are not allowed in a path; remove them")
        try:
            compile_route(path)
        except ValueError:
            raise ValueError("two segments have the same name; give each {name} a different one") from None
        except AssertionError:
            raise ValueError("a segment has an unknown type; write each variable segment as {name}") from None
        return path

    @field_validator("cors")
    @classmethod
    def _are_origins(cls, cors: list[str] | str | None) -> list[str] | str | None:
        return [read_origin(origin) for origin in cors] if isinstance(cors, list) else cors

    @field_validator("charset")
    @classmethod
    def _is_charset(cls, charset: str) -> str:
        try:
            is_known = find_charset(charset).has_ascii
        except UnknownCharset:
            is_known = False
        if not is_known:
            raise ValueError(f"{charset[:60]!r} is not a charset that forms and texts use; write utf-8, gbk …")
        return charset

    @field_validator("verify")
    @classmethod
    def _is_scheme(cls, verify: dict[str, Any] | str) -> dict[str, Any] | str:
        cls.verifier(verify)
        return verify

    @field_validator("dedupe")
    @classmethod
    def _has_key(cls, dedupe: DedupeSpec | None, info: ValidationInfo) -> DedupeSpec | None:
        """A preset's own key is used if only the time is given. `verify` is absent here if it was refused itself."""
        verify = info.data.get("verify")
        if dedupe is None or dedupe.key is not None or verify is None:
            return dedupe
        scheme = cls.verifier(verify).scheme
        if scheme is None or scheme.dedupe is None:
            raise ValueError("the sender sends no id; add 'key: …', such as \"{{ trigger.body.id }}\"")
        return dedupe

    @classmethod
    def at(cls, public_url: str | None) -> type[Self]:
        """The same model for a service that is reached at this address; some senders sign it."""
        return type(cls.__name__, (cls,), {"__doc__": cls.__doc__, "public_url": public_url or ""})

    @classmethod
    def withheld_headers(cls, given: Mapping[str, JSON]) -> frozenset[str]:
        """The headers that carry the scheme's credentials; none if `verify` is invalid, which is reported by itself."""
        try:
            return find_credential_headers(cls.verifier(given.get("verify")).scheme)
        except ValueError:
            return frozenset()

    @classmethod
    def find_path_parameters(cls, given: Mapping[str, JSON]) -> Collection[str] | None:
        path = given.get("path")
        if not isinstance(path, str) or is_template(path):
            return None
        return set(re.findall(r"\{([a-zA-Z_]\w*)(?::\w+)?\}", path))

    @classmethod
    def find_doubts(cls, given: Mapping[str, JSON]) -> Iterator[DataProblem]:
        path = str(given.get("path"))
        if f"{path}/".startswith("/hooks/"):
            what = f"the webhook is served at /hooks{path}: paths are relative to /hooks"
            hint = f"write {path.removeprefix('/hooks') or '/…'}, unless this is intended"
            yield DataProblem(("path",), what, hint, severity="warning")
        elif literal := _FOREIGN_PARAMETER.search(path):
            what, hint = f"{quote(literal[0])} is text in this path", "write a variable segment as {name}"
            yield DataProblem(("path",), what, hint, severity="warning")

    @classmethod
    def verifier(cls, verify: JSON) -> Verifier:
        """Read `verify`; raises ValueError."""
        return Verifier.of(verify, public_url=cls.public_url)


@dataclass(frozen=True)
class WebhookTrigger(Trigger):
    """A webhook trigger, compiled."""

    path: str
    pattern: Pattern[str]
    methods: frozenset[str]
    verifier: Verifier
    secrets: tuple[tuple[SecretPlaceholder, ...], ...]
    verify_token: tuple[SecretPlaceholder, ...]
    credentials: frozenset[str]
    bearing: frozenset[str]
    dedupe: Template | None
    dedupe_milliseconds: int
    after_failure: AfterFailure
    respond: RespondWhen
    cors: frozenset[str] | None
    charset: Charset

    @classmethod
    def compile(cls, model: type[WebhookSpec], definition: Definition, spec: TriggerSpec) -> Self:
        """Compile a trigger that the loader has checked with the model."""
        given = model.model_validate(spec.with_ or {})
        verifier = model.verifier(given.verify)
        return cls(
            definition,
            spec.id,
            *parse_expressions(spec),
            path=given.path,
            pattern=compile_route(given.path),
            methods=frozenset(given.methods),
            verifier=verifier,
            secrets=tuple(_find_placeholders(text) for text in verifier.secrets),
            verify_token=_find_placeholders(verifier.verify_token or ""),
            credentials=find_credential_headers(verifier.scheme),
            bearing=find_bearing_headers(verifier.scheme),
            dedupe=Template.parse(given.dedupe.key) if given.dedupe and given.dedupe.key is not None else None,
            dedupe_milliseconds=parse_duration(given.dedupe.for_ if given.dedupe else "7d"),
            after_failure=given.dedupe.after_failure if given.dedupe else "keep",
            respond=given.respond,
            cors=None if given.cors is None else frozenset(given.cors),
            charset=find_charset(given.charset),
        )

    @property
    def address(self) -> str:
        return f"webhook {' '.join(sorted(self.methods))} /hooks{self.path}"

    def list_claims(self) -> dict[object, str]:
        return {(method, self.pattern.pattern): f"the webhook {method} {self.path}" for method in sorted(self.methods)}

    @property
    def handshake_methods(self) -> frozenset[str]:
        """The methods on which it accepts handshakes only."""
        scheme = self.verifier.scheme
        return frozenset({scheme.handshake.method} if scheme and scheme.handshake else ()) - self.methods

    @cached_property
    def query_token(self) -> str | None:
        """The name in the query under which a handshake brings its token."""
        scheme = self.verifier.scheme
        token = scheme.handshake.token if scheme and scheme.handshake else None
        return token.name if token and token.place == "query" else None

    @property
    def reply(self) -> PresetReply | None:
        """The response that replaces the default ones, if its sender expects one."""
        return self.verifier.scheme.reply if self.verifier.scheme else None


def make_webhook_kind(public_url: str | None) -> Kind[WebhookTrigger]:
    """The kind of trigger for a service that the world reaches at this address."""
    model = WebhookSpec.at(public_url)
    compile = partial(WebhookTrigger.compile, model)
    return Kind("webhook", model, compile, lambda trigger: f"/hooks{trigger.path}", "webhooks")


def _find_placeholders(text: str) -> tuple[SecretPlaceholder, ...]:
    return Template.parse(text).render({})[1]
