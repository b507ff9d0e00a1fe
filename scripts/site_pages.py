"""Hooks of mkdocs.yml: the pages of the site are those of the repository, with links that hold in both.

    mkdocs build --strict             the site, in site/
    make report && mkdocs serve       with the published report in it
    snakemake results/tutorial.html   before it: with the tutorial as it was executed

README.md becomes the home page. A page outside docs/ that another one links to becomes a page of the site; a link to
anything else of the repository becomes its path in words. What a run left is on the site where it is there.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath
from shutil import copyfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

HOME = {"README.md": "index.md", "docs/README.md": "documentation.md"}
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^(?P<open>```+\w+)[ \t]+[^\n`]+$", flags=re.M)
"""A fenced block with words for the tests behind its language."""
MADE = {
    "docs/report.md": ("results/published_report.html", "report_page.html", "Open the published report"),
    "docs/one_checkpoint.md": ("results/tutorial.html", "tutorial_page.html", "Open the tutorial, executed"),
}
"""Page -> a page that a run left, its name on the site, and the words that lead to it from there."""


def linked_pages(root: Path) -> set[str]:
    """The Markdown pages of the repository, as paths, that README.md and docs/ lead to, directly or through others."""
    found: set[str] = set()
    waiting = ["README.md", *(str(path.relative_to(root)) for path in sorted((root / "docs").rglob("*.md")))]
    while waiting:
        page = waiting.pop()
        if page in found or not (root / page).is_file():
            continue
        found.add(page)
        links = (match["target"] for match in LINK.finditer((root / page).read_text(encoding="utf-8")))
        waiting += [path for path in (repository_path(page, link) for link in links) if path.endswith(".md")]
    return found


def repository_path(page: str, link: str) -> str:
    """The path in the repository that a link of a page leads to; empty for other sites and places on the page."""
    target = link.partition("#")[0]
    if not target or "://" in target or target.startswith("mailto:"):
        return ""
    return os.path.normpath(PurePosixPath(page).parent / target)


def site_path(path: str) -> str:
    """Where a file of the repository is on the site."""
    inside = path.removeprefix("docs/")
    return HOME.get(path, inside if inside != path else path.lower().replace("/", "_"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, and give both README pages their places."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for page in sorted(linked_pages(root)):
        place = site_path(page)
        if place == page.removeprefix("docs/") and page.startswith("docs/"):
            continue
        if (old := files.get_file_from_path(page.removeprefix("docs/"))) is not None and page.startswith("docs/"):
            files.remove(old)
        files.append(File.generated(config, place, content=(root / page).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository as links of the site, and one to the page that a run left, where it is there."""
    root = Path(config.config_file_path).parent
    sources = {site_path(path): path for path in linked_pages(root)}
    source = sources[page.file.src_uri]

    def relinked(match: re.Match[str]) -> str:
        path = repository_path(source, match["target"])
        if not path:
            return match[0]
        place, anchor = site_path(path), match["target"].partition("#")[2]
        if files.get_file_from_path(place) is None:
            return match["text"]
        link = os.path.relpath(place, PurePosixPath(page.file.src_uri).parent)
        return f"{match['mark']}[{match['text']}]({link}{'#' + anchor if anchor else ''})"

    text = LINK.sub(relinked, FENCE.sub(r"\g<open>", markdown))
    made, place, words = MADE.get(source, ("", "", ""))
    if made and (root / made).is_file():
        text += f'\n<a class="md-button md-button--primary" href="{place}">{words}</a>\n'
    return text


def on_post_build(config: MkDocsConfig) -> None:
    """What a run left, beside the pages."""
    for made, place, _ in MADE.values():
        page = Path(config.config_file_path).parent / made
        if page.is_file():
            copyfile(page, Path(config.site_dir) / place)
