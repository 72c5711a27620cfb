"""The JSON Schema of pipeline files as text: the language with every installed action and kind of trigger."""

import json
from collections.abc import Mapping

from pydantic import BaseModel, Field, create_model

from durable.action import Action
from durable.flow import CORE_ACTIONS
from durable.language.catalogue import Catalogue
from durable.language.json_schema import make_pipeline_schema
from triggers.folder import TRIGGERS
from triggers.webhooks.forms import forms
from triggers.webhooks.hook import Webhook


def schema_text(actions: Mapping[str, Action]) -> str:
    """The schema as it is written to a file."""
    catalogue = Catalogue(actions=actions, core=CORE_ACTIONS, triggers={**TRIGGERS, "webhook": _webhook()})
    return json.dumps(make_pipeline_schema(catalogue), indent=2, ensure_ascii=False) + "\n"


def _webhook() -> type[BaseModel]:
    """The webhook's model, with what may stand under `verify` told in full."""
    description = Webhook.model_fields["verify"].description
    return create_model(
        "Webhook",
        __base__=Webhook,
        __doc__="Start a run for each genuine request to an address below /hooks.",
        verify=(forms(), Field(description=description)),
    )
