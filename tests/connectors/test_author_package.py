"""The package `waypost`, which is all that authors of connectors import."""

import inspect
from pathlib import Path

import waypost

ROOT = Path(__file__).parent.parent.parent
PROMISED = {
    *("Action", "ActionError", "AttemptEnded", "Connector", "Context", "Credential", "HttpRequests", "HttpResponse"),
    *("Inputs", "InvalidOutput", "Limit", "Page", "PagePosition", "Secret", "URL", "Undo", "action"),
}


def test_the_package_promises_these_names_and_no_others() -> None:
    assert set(waypost.__all__) == PROMISED
    assert vars(waypost).keys() >= PROMISED


def test_every_promised_class_and_method_is_documented() -> None:
    for name in PROMISED - {"Secret", "Credential", "URL"}:
        assert (inspect.getdoc(getattr(waypost, name)) or "").strip(), name


def test_an_installation_offers_what_the_source_does() -> None:
    installed = Path(waypost.__file__)
    assert installed.read_text() == (ROOT / "durable" / "author" / "__init__.py").read_text(), "pip install -e . again"
    assert (installed.parent / "py.typed").is_file()
