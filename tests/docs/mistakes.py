"""Likely mistakes and their messages: `python -m tests.docs.mistakes` writes `docs/mistakes.md`."""

from dataclasses import dataclass
from pathlib import Path

from durable.language.catalogue import Catalogue
from durable.language.load import LoadResult, load_pipeline
from triggers.config.catalogue import load_connectors
from triggers.kinds import list_models

PAGE = Path(__file__).parent.parent.parent / "docs" / "mistakes.md"
FILE = "config/pipelines/orders.yaml"

BEGINNING = """\
# Likely mistakes

What people write who come from GitHub Actions, Zapier or n8n, and what `waypost validate` and `waypost serve` answer:
file, line and column, what is wrong, what to do, the line, and a caret under the place. The
[reference](reference.md) has every key. This page is written by `python -m tests.docs.mistakes`; a test makes each
mistake and mends it."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A file with a mistake. With `wrong` replaced by `right` it loads; `cure` says why."""

    title: str
    text: str
    wrong: str
    right: str
    cure: str

    @property
    def mended(self) -> str:
        return self.text.replace(self.wrong, self.right)

    def section(self, number: int) -> str:
        """The section of the page about it."""
        lines = self.text.splitlines()
        said = "\n".join(problem.render(lines[problem.line - 1]) for problem in load_text(self.text).problems)
        return f"## {number}. {self.title}\n\n```yaml\n{self.text}```\n\n```text\n{said}\n```\n\n{self.cure}"


def load_text(text: str) -> LoadResult:
    """Load a file's text as the service does, with every secret set."""
    catalogue = Catalogue(actions=load_connectors().actions, triggers=list_models())
    return load_pipeline(text, file=FILE, catalogue=catalogue, secrets=lambda name: True)


def render_page() -> str:
    """The page."""
    sections = [mistake.section(number) for number, mistake in enumerate(MISTAKES, 1)]
    return "\n\n".join([BEGINNING, *sections]) + "\n"


MISTAKES = (
    Mistake(
        "`on:` says what starts a workflow",
        """\
on: {webhook: {path: /orders}}
steps:
  - {id: note, use: log.write, with: {message: An order}}
""",
        "on: {webhook: {path: /orders}}",
        "triggers:\n  - {id: shop, use: webhook, with: {path: /orders, verify: none}}",
        "What starts a pipeline is a list under `triggers`; each trigger has an `id`, a `use` and a `with`.",
    ),
    Mistake(
        "`jobs:` around the steps",
        """\
jobs:
  build:
    steps:
      - {id: note, use: log.write, with: {message: An order}}
""",
        "jobs:\n  build:\n    steps:",
        "steps:",
        "A pipeline has no jobs: put `steps` at the top of the file.",
    ),
    Mistake(
        "A `name` with blanks, and `uses:`",
        """\
steps:
  - name: Look the customer up
    uses: http.get
    with: {url: https://crm.example.com/customers/7}
""",
        "name: Look the customer up\n    uses:",
        "id: customer\n    use:",
        "A step is known by its `id`, and its action stands under `use`.",
    ),
    Mistake(
        "An `id` with a hyphen",
        """\
steps:
  - {id: look-up, use: http.get, with: {url: https://crm.example.com/customers/7}}
""",
        "look-up",
        "look_up",
        "Expressions read `steps.look_up.output`, where a hyphen would be a subtraction: use `_`.",
    ),
    Mistake(
        "`run:` with a shell command",
        """\
steps:
  - id: customer
    run: curl https://crm.example.com/customers/7
""",
        "run: curl https://crm.example.com/customers/7",
        "use: http.get\n    with: {url: https://crm.example.com/customers/7}",
        "There is no shell: name an action under `use`, and give it its inputs under `with`.",
    ),
    Mistake(
        "`needs:` for the order",
        """\
steps:
  - {id: first, use: log.write, with: {message: One}}
  - {id: second, needs: first, use: log.write, with: {message: Two}}
""",
        "needs: first, ",
        "",
        "Steps are performed in the order of the list: remove `needs`.",
    ),
    Mistake(
        "`env:` for a secret",
        """\
steps:
  - id: customer
    use: http.get
    env: {TOKEN: "{{ secrets.CRM }}"}
    with: {url: https://crm.example.com/customers/7}
""",
        'env: {TOKEN: "{{ secrets.CRM }}"}\n    with: {',
        'with: {headers: {authorization: "Bearer {{ secrets.CRM }}"}, ',
        "Write the secret where it is used: in a header, in a URL, or in `verify`.",
    ),
    Mistake(
        "A secret in a JSON body",
        """\
steps:
  - id: login
    use: http.post
    with:
      url: https://crm.example.com/login
      json: {token: "{{ secrets.CRM }}"}
""",
        'json: {token: "{{ secrets.CRM }}"}',
        'form: {token: "{{ secrets.CRM }}"}',
        "A secret may stand where the [reference](reference.md#connectors) says so: use a header, `form` or `body`.",
    ),
    Mistake(
        "An expression without quotes",
        """\
steps:
  - id: customer
    use: http.get
    with:
      url: {{ trigger.body.url }}
""",
        "{{ trigger.body.url }}",
        '"{{ trigger.body.url }}"',
        "A `{` begins a mapping in YAML: quote a value that begins with `{{`.",
    ),
    Mistake(
        "`${{ }}` in a condition",
        """\
steps:
  - id: note
    if: ${{ trigger.body.total > 100 }}
    use: log.write
    with: {message: A large order}
""",
        "${{ trigger.body.total > 100 }}",
        "trigger.body.total > 100",
        "`if` and `when` hold an expression without braces; elsewhere it is `{{ }}`, without the `$`.",
    ),
    Mistake(
        "A function",
        """\
steps:
  - id: note
    if: contains(trigger.body.tags, 'gift')
    use: log.write
    with: {message: A gift}
""",
        "contains(trigger.body.tags, 'gift')",
        "\"'gift' in trigger.body.tags\"",
        "There are signs, filters and tests instead of functions: write `'gift' in trigger.body.tags`.",
    ),
    Mistake(
        "`&&` between conditions",
        """\
steps:
  - id: note
    if: trigger.body.paid && trigger.body.total > 100
    use: log.write
    with: {message: A large order}
""",
        "&&",
        "and",
        "The words are `and`, `or` and `not`.",
    ),
    Mistake(
        "`$json` for the request or event",
        """\
steps:
  - id: note
    use: log.write
    with: {message: "An order of {{ $json.email }}"}
""",
        "$json.email",
        "trigger.body.email",
        "What arrived is `trigger.body`, and what a step gave is `steps.ID.output`.",
    ),
    Mistake(
        "`body` for the request or event",
        """\
steps:
  - id: note
    use: log.write
    with: {message: "An order of {{ body.email }}"}
""",
        "body.email",
        "trigger.body.email",
        "The parts of what arrived stand under `trigger`: `body`, `headers`, `query`, `path`.",
    ),
    Mistake(
        "`outputs` of a step",
        """\
steps:
  - {id: customer, use: http.get, with: {url: https://crm.example.com/customers/7}}
  - {id: note, use: log.write, with: {message: "{{ steps.customer.outputs.body.name }}"}}
""",
        "outputs",
        "output",
        "A step has one `output`; only the pipeline has `outputs`.",
    ),
    Mistake(
        "`method` of a request",
        """\
steps:
  - id: letter
    use: http.get
    with: {url: https://mail.example.com/letters, method: POST}
""",
        "http.get\n    with: {url: https://mail.example.com/letters, method: POST}",
        "http.post\n    with: {url: https://mail.example.com/letters}",
        "Every method is an action of its own; `http.request` takes a `method`.",
    ),
    Mistake(
        "A number of retries",
        """\
steps:
  - id: customer
    use: http.get
    with: {url: https://crm.example.com/customers/7}
    retry: 3
""",
        "retry: 3",
        "retry: {max_attempts: 3}",
        "`retry` is a mapping: write `max_attempts`, which counts the first attempt too.",
    ),
    Mistake(
        "A time without a unit",
        """\
steps:
  - id: customer
    use: http.get
    with: {url: https://crm.example.com/customers/7}
    timeout: 30
""",
        "timeout: 30",
        "timeout: 30s",
        "A duration has a unit: `ms`, `s`, `m`, `h` or `d`.",
    ),
    Mistake(
        "A webhook that believes everybody",
        """\
triggers:
  - {id: shop, use: webhook, with: {path: /orders}}
steps:
  - {id: note, use: log.write, with: {message: An order}}
""",
        "path: /orders",
        'path: /orders, verify: {preset: github, secret: "{{ secrets.SHOP }}"}',
        "Say how senders prove who they are; `verify: none` lets everybody in, and has to be written.",
    ),
    Mistake(
        "A `#` at the beginning of a value",
        """\
steps:
  - id: note
    use: log.write
    with:
      message: #orders has news
""",
        "#orders has news",
        '"#orders has news"',
        "Behind a blank, `#` begins a comment: quote the value.",
    ),
    Mistake(
        "One brace at the end of an expression",
        """\
steps:
  - id: note
    use: log.write
    with: {message: "An order of {{ trigger.body.email }"}
""",
        "email }",
        "email }}",
        "An expression begins with `{{` and ends with `}}`.",
    ),
    Mistake(
        "A key with a hyphen",
        """\
steps:
  - id: note
    if: trigger.body.order-id is defined
    use: log.write
    with: {message: An order}
""",
        "trigger.body.order-id",
        "trigger.body['order-id']",
        "A hyphen is a subtraction: read a key with one in brackets.",
    ),
    Mistake(
        "A header that no sender can send",
        """\
triggers:
  - id: hub
    use: webhook
    with: {path: /hub, verify: {preset: github, secret: "{{ secrets.HUB }}"}}
    when: trigger.headers.x_github_event == 'push'
steps:
  - {id: note, use: log.write, with: {message: A push}}
""",
        "trigger.headers.x_github_event == 'push'",
        "\"trigger.headers['X-GitHub-Event'] == 'push'\"",
        "Write a header as its sender does, in brackets; upper and lower case do not matter.",
    ),
    Mistake(
        "`wait: 10s`",
        """\
steps:
  - id: pause
    wait: 10s
""",
        "wait: 10s",
        "use: wait.delay\n    with: {for: 10s}",
        "Waiting is an action: `wait.delay` for a while, `wait.until` for a moment.",
    ),
    Mistake(
        "`switch` with `cases`",
        """\
steps:
  - id: route
    switch:
      cases:
        - when: trigger.body.total > 100
          steps: [{id: note, use: log.write, with: {message: A large order}}]
""",
        "switch:\n      cases:\n        - when",
        "switch:\n        - when",
        "`switch` is the list of cases itself, and `else` stands beside it.",
    ),
)
"""Those that somebody is most likely to make."""


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
