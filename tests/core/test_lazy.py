"""Imports by name, and the error for a missing extra."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable.lazy import ExtraMissing, find_entry_points, load_entry_point, load_module


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution `acme` with entry points, one of which needs a library that is not installed."""
    (tmp_path / "acme_good.py").write_text("offer = 'an offer'\n")
    (tmp_path / "acme_needy.py").write_text("import library_that_is_not_there\n")
    (tmp_path / "acme_broken.py").write_text("1 / 0\n")
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[acme.things]\nneedy = acme_needy:offer [fast]\ngood = acme_good:offer\nbroken = acme_broken:offer\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def test_a_module_is_loaded_by_its_name() -> None:
    assert load_module("durable.ids").__name__ == "durable.ids"


def test_a_missing_extra_is_named_with_the_command_that_installs_it(plugin: Path) -> None:
    with pytest.raises(ExtraMissing) as caught:
        load_module("acme_needy", extra="fast")
    assert "acme_needy needs library_that_is_not_there" in str(caught.value)
    assert "pip install 'waypost[fast]'" in str(caught.value)


def test_a_missing_module_that_no_extra_provides_raises_its_own_error(plugin: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="library_that_is_not_there"):
        load_module("acme_needy")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_module("durable.no_such_module", extra="fast")


def test_entry_points_are_listed_in_order_without_importing_them(plugin: Path) -> None:
    assert [entry.name for entry in find_entry_points("acme.things")] == ["broken", "good", "needy"]
    assert not [name for name in sys.modules if name.startswith("acme_")]


def test_an_entry_point_yields_its_object_or_the_error_of_its_module(plugin: Path) -> None:
    broken, good, needy = find_entry_points("acme.things")
    assert load_entry_point(good) == "an offer"
    with pytest.raises(ZeroDivisionError):
        load_entry_point(broken)
    with pytest.raises(ExtraMissing, match=r"pip install 'acme\[fast\]'"):
        load_entry_point(needy)
