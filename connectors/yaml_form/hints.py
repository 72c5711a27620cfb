"""Hints for the file of a connector: keys of other tools, and examples of values."""

from durable.language.validation import Hints

_KEYS = {
    **dict.fromkeys(("name", "key", "slug"), "did you mean 'id'"),
    **dict.fromkeys(("description", "summary", "title", "doc", "help"), "did you mean 'about'"),
    **dict.fromkeys(("server", "servers", "host", "url", "baseUrl", "baseURL"), "did you mean 'base_url'"),
    **dict.fromkeys(("requests", "operations", "endpoints", "paths", "methods", "resources"), "did you mean 'actions'"),
    **dict.fromkeys(("credentials", "connections", "authentication"), "did you mean 'connection'"),
    **dict.fromkeys(("defaults", "request", "client", "requestDefaults"), "did you mean 'http'"),
    **dict.fromkeys(("query", "querystring", "qs", "parameters"), "did you mean 'params'"),
    **dict.fromkeys(("input", "props", "properties", "args"), "did you mean 'inputs'"),
    **dict.fromkeys(("response", "result", "outputs"), "did you mean 'output'"),
    **dict.fromkeys(("schema", "output_schema", "outputSchema"), "did you mean 'returns'"),
    **dict.fromkeys(("data", "payload", "request_body"), "did you mean 'json'"),
    **dict.fromkeys(("paginate", "pagination", "paginator", "pages", "paging"), "did you mean 'page'"),
    **dict.fromkeys(
        ("rate_limit", "rate_limits", "ratelimit"), "did you mean 'limit', for example 'limit: {rate: 50/m}'"
    ),
    **dict.fromkeys(("method", "path", "endpoint"), "write the method with its path: 'get: /items/{id}'"),
    **dict.fromkeys(("version",), "a connector needs no version, because that of a pipeline includes it; remove it"),
    **dict.fromkeys(("retry", "retries"), "pipelines set how often a step is attempted; remove it"),
    **dict.fromkeys(("timeout",), "pipelines set how long an attempt may take; remove it"),
    **dict.fromkeys(("max_pages", "max_items", "size", "cursor", "link", "more", "next"), "put it under 'page'"),
    "auth": "put it under 'connection'",
    "fields": "put them under 'connection'",
    "limit": "it applies to the whole connector; put it under 'http'",
    "undo.action": "did you mean 'use'",
    "options.action": "did you mean 'use'",
    "page.limit": "the number of items of a page is set by 'size: {param: limit, value: 100}'",
    "page.type": "remove it, and write one of the keys link, next, cursor, offset and number",
    "errors.retry": "give the error a class that is retried: 'classes: {server: [code]}'",
}

_VALUES = {
    "actions": "{list_items: {about: List the items, get: /items}}",
    "http": "{base_url: https://api.example.com}",
    "connection": '{fields: {token: {type: string, secret: true}}, auth: [{bearer: "{{ connection.token }}"}]}',
    "fields": "{token: {type: string, secret: true}}",
    "inputs": "{id: {type: string}}",
    "params": '{q: "{{ inputs.q }}"}',
    "headers": "{accept: application/json}",
    "errors": '{code: "{{ answer.body.error }}"}',
    "classes": "{rate_limit: [too_many_requests]}",
    "page": "{items: answer.body.items, link: next}",
    "size": "{param: per_page, value: 100}",
    "number": "{param: page, first: 1}",
    "offset": "{param: offset}",
    "idempotency": "{header: Idempotency-Key}",
    "undo": '{use: delete_item, with: {id: "{{ output.id }}"}}',
    "limit": "{rate: 50/m, at_once: 5}",
    "base64": "'{{ inputs.content }}'",
    "returns": "{id: {type: string}}",
    "json": '{name: "{{ inputs.name }}"}',
    "form": '{name: "{{ inputs.name }}"}',
    "answer": "{status: 200, body: {id: 7}}",
    "expect": "{output: {id: 7}}",
    "when": "answer.body.ok is false",
    "items": "answer.body.items",
    "more": "answer.body.has_more",
    "next": "answer.body.next_url",
    "cursor": "answer.body.next_cursor",
}

_ITEMS = {
    "auth": '{bearer: "{{ connection.token }}"}',
    "retry_after": "{header: retry-after}",
    "tests": "{action: list_items, answer: {body: []}, expect: {output: []}}",
}

CONNECTOR_HINTS = Hints(_KEYS, _VALUES, _ITEMS)
