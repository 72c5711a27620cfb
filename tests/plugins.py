"""Packages with connectors, installed into a folder on `sys.path` as pip does."""

from collections.abc import Mapping
from pathlib import Path


def install(
    site: Path,
    package: str,
    connectors: Mapping[str, str],
    modules: Mapping[str, str],
    *,
    group: str = "waypost.connectors",
) -> None:
    """Install a package with its entry points (by connector name) and the texts of its modules."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "".join(f"{name} = {value}\n" for name, value in connectors.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{points}")
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
