"""The package `waypost`, which is all that authors of connectors import."""

import inspect
import subprocess
import sys
from pathlib import Path

import waypost
from waypost import testing

ROOT = Path(__file__).parent.parent.parent
PROMISED = {
    *("Action", "ActionError", "AttemptEnded", "Connector", "Context", "Credential", "HttpRequests", "HttpResponse"),
    *("Inputs", "InvalidOutput", "Limit", "Page", "PagePosition", "Secret", "URL", "Undo", "action"),
}


def test_the_package_promises_these_names_and_no_others() -> None:
    assert set(waypost.__all__) == PROMISED
    assert vars(waypost).keys() >= PROMISED


def test_the_tests_of_connectors_are_promised_these_names() -> None:
    assert set(testing.__all__) == {
        *("ActionCall", "Answer", "call_action", "ensure_conformance"),
        *("call_recorded", "pytest_addoption", "waypost_context", "waypost_service"),
    }


def test_a_service_imports_neither_pytest_nor_what_tests_use() -> None:
    code = (
        "import triggers.service, sys; print(sorted({'pytest', 'connectors.testing', 'waypost'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_every_promised_class_and_method_is_documented() -> None:
    for name in PROMISED - {"Secret", "Credential", "URL"}:
        assert (inspect.getdoc(getattr(waypost, name)) or "").strip(), name


def test_an_installation_offers_what_the_source_does() -> None:
    installed = Path(waypost.__file__)
    for name in ("__init__.py", "testing.py"):
        source = ROOT / "durable" / "author" / name
        assert (installed.parent / name).read_text() == source.read_text(), "`pip install -e .` again"
    assert (installed.parent / "py.typed").is_file()
