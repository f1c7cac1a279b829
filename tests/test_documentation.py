"""The pages for people: every module is on the map, and every path and link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mclu_shell"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ARCHITECTURE = ROOT / "docs/architecture.md"
MAPS = (ARCHITECTURE, ROOT / "docs/decisions.md", ROOT / "CONTRIBUTING.md")

# A path in code quotes: a directory with its slash, or a file below one, or a Python file.
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w.-]+/|[\w-]+\.py)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")


def text(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def called(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_every_module() -> None:
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    assert modules - set(PATH.findall(text(ARCHITECTURE))) == set()


@pytest.mark.parametrize("page", MAPS, ids=called)
def test_every_path_exists(page: Path) -> None:
    paths = {path for path in PATH.findall(text(page)) if "NAME" not in path}
    assert {path for path in paths if not (ROOT / path).exists() and not (PACKAGE / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_every_link_has_a_target(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
