"""The repository itself: names that collide with nobody's, documents that lead somewhere, pictures as drawn."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from settings import Settings

ROOT = Path(__file__).resolve().parents[1]
OURS = sorted(
    {path.stem for path in ROOT.glob("*.py")}
    | {path.parent.name for path in ROOT.glob("*/__init__.py") if not path.parent.name.startswith(".")}
)
FOLDERS = sorted(
    path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
)
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)

NAMED = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")
"""Files and folders that a text names."""
MACHINE_PATH = re.compile(rb"(?<![\w/.:-])/(?:work|root|home|Users|tmp)/[\w.-]")
"""Of directories in which people work; what only looks like one, in a URL or in base64, has something before it."""


def test_no_dependency_brings_a_module_of_our_names():
    """Some ship top-level packages such as `tests`: whoever comes first on the path would win."""
    assert {
        "core",
        "matcher",
        "ledger",
        "oracles",
        "chain",
        "workflows",
        "activities",
        "api",
        "cli",
        "worker",
    } <= set(OURS)
    owners = packages_distributions()
    taken = {name: owners[name] for name in OURS if set(owners.get(name, [])) - {"ai-perp-dex"}}
    assert taken == {}


def test_nothing_imports_from_tests():
    for path in ROOT.rglob("*.py"):
        if ".venv" not in path.parts:
            assert not re.search(r"^\s*(from|import) tests\b", path.read_text(), re.M), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_point_to_is_there(document):
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text)
    missing = [link for link, _ in links if not (document.parent / link).exists()]
    targets = [((document.parent / link) if link else document, anchor) for link, anchor in links if anchor]
    missing += [anchor for target, anchor in targets if anchor not in anchors(target.read_text())]
    missing += [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    assert missing == []


def anchors(text):
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_file_tells_where_it_was_made():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    telling = [
        name.decode()
        for name in tracked.split(b"\0")
        if name and re.search(MACHINE_PATH, (ROOT / name.decode()).read_bytes())
    ]
    assert telling == []


def test_pictures_are_as_drawn(tmp_path):
    script = ROOT / "docs" / "pictures" / "draw.py"
    (tmp_path / "draw.py").write_text(script.read_text())
    subprocess.run([sys.executable, str(tmp_path / "draw.py")], check=True)
    for name in ("parts.svg", "settlement.svg"):
        assert (tmp_path / name).read_text() == (script.parent / name).read_text()


def test_make_takes_the_pythons_that_the_project_takes():
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first, beyond = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", required).groups())
    makefile = (ROOT / "Makefile").read_text()
    assert f"(3,{first}) <= sys.version_info[:2] <= (3,{beyond - 1})" in makefile
    for minor in range(first, beyond):
        assert f"python3.{minor} " in makefile
        for document in ("README.md", "README.zh.md"):
            assert f"3.{minor}" in (ROOT / document).read_text()


def test_every_setting_is_documented():
    table = (ROOT / "docs" / "operating" / "running.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `{name.upper()}` |" in table
        assert str(field.description) in table
