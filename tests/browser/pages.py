"""Every page of the service, with the words that show that it is the right one. A new page gets a row here: it is then
looked at in both widths and themes, with scripts and without, searched for faults, and a picture is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A page. `path`: with names of the scene's ids in braces; `shows`: a text on it; `is_open`: it needs no
    sign-in; `is_first`: it is the page of a service in which nothing has happened yet; `is_long`:
    axe takes long for it."""

    name: str
    path: str
    shows: str
    is_open: bool = False
    is_first: bool = False
    is_long: bool = False
    status: int = 200

    def make_path(self, ids: Mapping[str, str]) -> str:
        """The path in a scene."""
        return self.path.format_map(ids)


PLACES = (
    Place("sign-in", "/sign-in", "Sign in", is_open=True),
    Place("answer-link", "{link}", "Refund 180 EUR for order 4711?", is_open=True),
    Place("api", "/api/docs", "Waypost", is_open=True, is_long=True),
    Place("not-found", "/nothing", "no page", status=404),
    Place("home", "/", "Needs you"),
    Place("home-week", "/?period=week", "Needs you"),
    Place("home-first", "/", "Send it a webhook", is_first=True),
    Place("find", "/find?q=r", "can mean"),
    Place("find-nothing", "/find?q=nothing-of-this", "Search the inputs of runs"),
    Place("runs", "/runs", "Runs"),
    Place("runs-failed", "/runs?status=failed", "answered 503"),
    Place("runs-nothing", "/runs?status=failed&tag=eu", "No run matches"),
    Place("run-failed", "/runs/{failed}", "Why:"),
    Place("run-large", "/runs/{large}?under=reserve&only=all", "warehouse EU-2 is read-only"),
    Place("run-step", "/runs/{failed}?step=reserve%5B1%5D.hold&tab=input", "Became"),
    Place("run-request", "/runs/{failed}?step=reserve%5B1%5D.hold&tab=request", "Response"),
    Place("run-attempts", "/runs/{failed}?step=reserve%5B1%5D.hold&tab=attempts", "Idempotency key"),
    Place("run-graph", "/runs/{completed}?view=graph", "foreach"),
    Place("run-history", "/runs/{completed}?view=history", "The run was started"),
    Place("run-data", "/runs/{completed}?view=data", "Inputs"),
    Place("run-json", "/runs/{completed}?view=json", "step_counts"),
    Place("run-fork", "/runs/{failed}/fork?step=reserve%5B1%5D.hold", "with other input"),
    Place("run-waiting", "/runs/{waiting}", "Refund 180 EUR for order 4711?"),
    Place("run-uncertain", "/runs/{uncertain}", "charge needs a decision"),
    Place("run-running", "/runs/{running}", "running"),
    Place("run-missing", "/runs/run_0", "is not here", status=404),
    Place("run-queued", "/runs/{queued}", "waits for a slot"),
    Place("run-cancelled", "/runs/{cancelled}", "a duplicate order"),
    Place("run-strange", "/runs/{strange_order}?view=data", "<script>document.title='stolen'</script>"),
    Place("run-strange-wait", "/runs/{strange}?step=approval", "<script>document.title='stolen'</script>"),
    Place("errors", "/errors", "answered 503"),
    Place("error", "/errors/{error}", "reserve[12].hold"),
    Place("bulks", "/bulks", "retry"),
    Place("bulk", "/bulks/{bulk}", "the stock was moved"),
    Place("settings-keys", "/settings/keys", "Keys"),
    Place("settings-sessions", "/settings/sessions", "Sessions"),
    Place("settings-retention", "/settings/retention", "Retention"),
    Place("settings-about", "/settings/about", "0.1.0"),
    Place("waits", "/waits", "Refund 180 EUR for order 4711?"),
    Place("waits-decisions", "/waits?kind=decision", "charge needs a decision"),
    Place("wait", "/waits/{waiting}/approval", "Refund 180 EUR for order 4711?"),
    Place("deliveries", "/deliveries", "Deliveries"),
    Place("deliveries-unknown", "/deliveries/unknown", "/hooks/order"),
    Place("deliveries-capture", "/deliveries/capture?trigger=order_intake/shop", "Waiting for the next request"),
    Place("delivery", "/deliveries/{delivery_accepted}", "POST /hooks/orders"),
    Place("delivery-hex", "/deliveries/{delivery_accepted}?body=hex", "00000000"),
    Place("delivery-rejected", "/deliveries/{delivery_rejected}", "rejected"),
    Place("delivery-duplicate", "/deliveries/{delivery_duplicate}", "duplicate"),
    Place("delivery-filtered", "/deliveries/{delivery_filtered}", "filtered"),
    Place("delivery-handshake", "/deliveries/{delivery_handshake}", "handshake"),
    Place("events", "/events", "order.paid"),
    Place("event", "/events/{event}", "order.paid"),
    Place("event-new", "/events/new", "Type"),
    Place("pipelines", "/pipelines", "serving"),
    Place("pipelines-nothing", "/pipelines?q=nothing", "No pipeline has"),
    Place("pipeline", "/pipelines/order_intake", "runs by step"),
    Place("pipeline-text", "/pipelines/order_intake/text", "max_parallel: 5"),
    Place("pipeline-broken", "/pipelines/crm", "cannot be served"),
    Place("pipeline-broken-text", "/pipelines/crm/text", "did you mean"),
    Place("pipeline-versions", "/pipelines/order_intake/versions", "current"),
    Place("pipeline-version", "/pipelines/order_intake/versions/current", "Its definition"),
    Place("pipeline-triggers", "/pipelines/order_intake/triggers?example=shop", "x-hub-signature-256"),
    Place("pipeline-start", "/pipelines/refund/start", "Last inputs"),
    Place("pipeline-start-json", "/pipelines/refund/start?as=json", "Inputs as JSON"),
    Place("schedules", "/schedules", "Europe/Berlin"),
    Place("connectors", "/connectors", "slack"),
    Place("connector", "/connectors/slack", "slack.post_message"),
    Place("action", "/connectors/slack/post_message", "Example"),
    Place("connections", "/connections", "stock"),
    Place("connection", "/connections/stock", "No request has been sent"),
    Place("audit", "/audit", "cancel run"),
    Place("audit-nothing", "/audit?action=revoke_key", "No action matches"),
    Place("queues", "/queues", "the limit of 1 is reached"),
    Place("first-runs", "/runs", "No runs yet", is_first=True),
    Place("first-waits", "/waits", "No run waits for anybody", is_first=True),
    Place("first-errors", "/errors", "fail", is_first=True),
    Place("first-bulks", "/bulks", "No bulk actions yet", is_first=True),
    Place("first-deliveries", "/deliveries", "No webhook has received a request", is_first=True),
    Place("first-events", "/events", "No events yet", is_first=True),
    Place("first-pipeline", "/pipelines/refund", "refund", is_first=True),
    Place("first-audit", "/audit", "sign in", is_first=True),
    Place("first-queues", "/queues", "No run holds a slot", is_first=True),
    Place("first-schedules", "/schedules", "has not fired yet", is_first=True),
)
