"""The dashboard for Grafana, docs/deploy/grafana.json: `python -m tests.docs.grafana` writes it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent.parent.parent / "docs" / "deploy" / "grafana.json"

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
INSTANCE = 'instance=~"$instance"'
WIDTH = 24
HEIGHT = 8


class Query(NamedTuple):
    """An expression of Prometheus, and the name of its series."""

    expr: str
    legend: str = "__auto"


class Panel(NamedTuple):
    """A panel. `unit` is one of Grafana's; `kind` a plugin of Grafana's own."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    description: str = ""
    is_stacked: bool = False


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{INSTANCE}{where}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', labels, where)})"


PIPELINE = ', pipeline=~"$pipeline"'
FAILING = _rate("waypost_runs_finished_total", "pipeline", PIPELINE + ', status="failed"')

ROWS: dict[str, list[Panel]] = {
    "Now": [
        Panel(
            "Failed runs, last hour",
            [Query(f'sum(increase(waypost_runs_finished_total{{{INSTANCE}, status="failed"}}[1h]))')],
            kind="stat",
        ),
        Panel(
            "Paused runs",
            [Query(f'sum(waypost_unfinished_runs{{{INSTANCE}, status="paused"}})')],
            kind="stat",
            description="They wait for a decision of a person.",
        ),
        Panel("Attempts in flight", [Query(f"sum(waypost_attempts_in_flight{{{INSTANCE}}})")], kind="stat"),
        Panel("p99 until a delivery is accepted", [Query(_quantile(0.99, "waypost_accept_seconds"))], "s", "stat"),
    ],
    "Runs": [
        Panel(
            "Started",
            [Query(_rate("waypost_runs_started_total", "pipeline", PIPELINE), "{{pipeline}}")],
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Ended",
            [Query(_rate("waypost_runs_finished_total", "status", PIPELINE), "{{status}}")],
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Share that fails",
            [Query(f"{FAILING} / {_rate('waypost_runs_finished_total', 'pipeline', PIPELINE)}", "{{pipeline}}")],
            "percentunit",
        ),
        Panel(
            "Duration, p50 and p95",
            [
                Query(_quantile(0.5, "waypost_run_seconds", "pipeline", PIPELINE), "{{pipeline}} p50"),
                Query(_quantile(0.95, "waypost_run_seconds", "pipeline", PIPELINE), "{{pipeline}} p95"),
            ],
            "s",
            description="From start, or last retry, to end; waiting included.",
        ),
        Panel(
            "Unfinished",
            [Query(f"sum by (status) (waypost_unfinished_runs{{{INSTANCE}}})", "{{status}}")],
            is_stacked=True,
        ),
        Panel(
            "Age of the oldest unfinished run",
            [
                Query(
                    f"time() - max by (status) (waypost_oldest_unfinished_timestamp_seconds{{{INSTANCE}}} > 0)",
                    "{{status}}",
                )
            ],
            "s",
        ),
        Panel("Retried", [Query(_rate("waypost_runs_retried_total", "pipeline", PIPELINE), "{{pipeline}}")], "reqps"),
        Panel(
            "Items of bulks",
            [Query(_rate("waypost_bulk_items_total", "action, outcome"), "{{action}} {{outcome}}")],
            "reqps",
        ),
    ],
    "What comes in": [
        Panel(
            "Deliveries by outcome",
            [Query(_rate("waypost_deliveries_total", "outcome"), "{{outcome}}")],
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Rejected deliveries by webhook",
            [Query(_rate("waypost_deliveries_total", "webhook", ', outcome="rejected"'), "{{webhook}}")],
            "reqps",
        ),
        Panel(
            "Time until a delivery is accepted",
            [
                Query(_quantile(share, "waypost_accept_seconds"), name)
                for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ],
            "s",
        ),
        Panel(
            "Fires of schedules",
            [Query(_rate("waypost_schedule_fires_total", "schedule, outcome"), "{{schedule}} {{outcome}}")],
            "reqps",
        ),
        Panel(
            "Lateness of schedules, p95",
            [Query(_quantile(0.95, "waypost_schedule_lateness_seconds", "schedule"), "{{schedule}}")],
            "s",
        ),
        Panel(
            "Streams and sessions",
            [
                Query(f"sum(waypost_streams{{{INSTANCE}}})", "streams"),
                Query(f"sum(waypost_sessions{{{INSTANCE}}})", "sessions"),
            ],
        ),
    ],
    "What goes out": [
        Panel(
            "Attempts by action",
            [Query(_rate("waypost_attempts_total", "action"), "{{action}}")],
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Attempts that failed",
            [Query(_rate("waypost_attempts_total", "action", ', outcome="failed"'), "{{action}}")],
            "reqps",
        ),
        Panel(
            "Duration of attempts, p95",
            [Query(_quantile(0.95, "waypost_attempt_seconds", "action"), "{{action}}")],
            "s",
        ),
        Panel(
            "Lost attempts",
            [Query(_rate("waypost_attempts_lost_total", "action, cause"), "{{action}} {{cause}}")],
            "reqps",
        ),
        Panel(
            "Waiting for a permit or a connection",
            [
                Query(f"sum(waypost_attempts_waiting{{{INSTANCE}}})", "permits"),
                Query(f"sum by (connection) (waypost_connection_waiting{{{INSTANCE}}})", "{{connection}}"),
            ],
        ),
        Panel(
            "Connections that are held back or need a login",
            [
                Query(
                    f"max by (connection, reason) (waypost_connection_held_back{{{INSTANCE}}})",
                    "{{connection}} {{reason}}",
                ),
                Query(
                    f"max by (connection) (waypost_connection_needs_login{{{INSTANCE}}})",
                    "{{connection}} needs a login",
                ),
            ],
        ),
        Panel(
            "Renewals of access tokens",
            [Query(_rate("waypost_token_renewals_total", "connection, outcome"), "{{connection}} {{outcome}}")],
            "reqps",
        ),
        Panel(
            "Spans",
            [
                Query(_rate("waypost_trace_spans_total", "outcome"), "{{outcome}}"),
                Query(f"sum(waypost_traces_waiting{{{INSTANCE}}})", "runs that wait"),
            ],
        ),
    ],
    "The service": [
        Panel(
            "Time of a commit",
            [Query(_quantile(share, "waypost_commit_seconds"), name) for share, name in ((0.5, "p50"), (0.99, "p99"))],
            "s",
        ),
        Panel(
            "Commits, and units in them",
            [
                Query(f"sum(rate(waypost_commits_total{{{INSTANCE}}}[$__rate_interval]))", "commits"),
                Query(f"sum(rate(waypost_commit_units_sum{{{INSTANCE}}}[$__rate_interval]))", "units"),
                Query(f"sum(waypost_journal_waiting{{{INSTANCE}}})", "units that wait"),
            ],
        ),
        Panel(
            "Size of the journal",
            [
                Query(f"sum(waypost_journal_bytes{{{INSTANCE}}})", "database"),
                Query(f"sum(waypost_journal_free_bytes{{{INSTANCE}}})", "free in it"),
                Query(f"sum(waypost_journal_wal_bytes{{{INSTANCE}}})", "log"),
            ],
            "bytes",
        ),
        Panel("Rows of the journal", [Query(f"sum by (noun) (waypost_journal_rows{{{INSTANCE}}})", "{{noun}}")]),
        Panel("Removed by retention", [Query(_rate("waypost_removed_total", "noun"), "{{noun}}")], "reqps"),
        Panel("Runs in memory", [Query(f"sum(waypost_live_runs{{{INSTANCE}}})", "runs")]),
        Panel(
            "CPU",
            [Query(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[$__rate_interval])", "{{instance}}")],
            "percentunit",
        ),
        Panel("Memory", [Query(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}")], "bytes"),
    ],
}


def build_dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, members in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            }
        )
        y += 1
        height, width = (4, WIDTH // 4) if members[0].kind == "stat" else (HEIGHT, WIDTH // 2)
        for number, panel in enumerate(members):
            across = WIDTH // width
            place = {"h": height, "w": width, "x": number % across * width, "y": y + number // across * height}
            panels.append(_build_panel(len(panels) + 1, panel, place))
        y += -(-len(members) // (WIDTH // width)) * height
    return {
        "title": "Waypost",
        "uid": "waypost",
        "description": "Runs, deliveries, attempts and the journal of Waypost, from its /metrics.",
        "tags": ["waypost"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _build_variable("instance", "Instance"),
                _build_variable("pipeline", "Pipeline"),
            ]
        },
        "panels": panels,
    }


def _build_panel(id: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if panel.is_stacked else {"fillOpacity": 5}
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": each.expr, "legendFormat": each.legend}
        for number, each in enumerate(panel.queries)
    ]
    return {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom if panel.kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {},
        "targets": targets,
    }


def _build_variable(name: str, label: str) -> dict[str, Any]:
    query = f"label_values(waypost_runs_started_total, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def encode_dashboard() -> str:
    return json.dumps(build_dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(encode_dashboard())
