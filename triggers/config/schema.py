"""The JSON Schema of pipeline files: the language with all installed actions and kinds of triggers."""

import json

from pydantic import Field, create_model

from durable.language.editor_schema import make_pipeline_schema
from triggers.config.catalogue import Connectors
from triggers.config.folder import make_catalogue
from triggers.kinds import list_models
from triggers.webhooks.trigger import WebhookSpec
from triggers.webhooks.verify_schema import build_verify_type


def schema_text(connectors: Connectors) -> str:
    """The schema as text."""
    catalogue = make_catalogue(connectors, {**list_models(), "webhook": _webhook()})
    return json.dumps(make_pipeline_schema(catalogue), indent=2, ensure_ascii=False) + "\n"


def _webhook() -> type[WebhookSpec]:
    """The webhook's model with all forms of `verify`."""
    description = WebhookSpec.model_fields["verify"].description
    return create_model(
        "Webhook",
        __base__=WebhookSpec,
        __doc__="Start a run for each authenticated request to a path below /hooks.",
        verify=(build_verify_type(), Field(description=description)),
    )
