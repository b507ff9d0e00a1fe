"""The site made of the repository's pages: every page has one place, and the contents name pages that are there."""

import pytest
import yaml


@pytest.fixture(scope="module")
def pages(site_pages, repository) -> dict[str, str]:
    """Place on the site -> page of the repository."""
    return {site_pages.site_path(page): page for page in site_pages.linked_pages(repository)}


def test_every_page_has_a_place_of_its_own(site_pages, pages, repository):
    assert len(pages) == len(site_pages.linked_pages(repository))
    assert pages["index.md"] == "README.md" and pages["documentation.md"] == "docs/README.md"
    assert pages["contributing.md"] == "CONTRIBUTING.md"


def test_the_contents_name_pages_that_are_there(pages, repository):
    contents = yaml.safe_load((repository / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = [target for entry in contents for target in targets(entry)]
    assert named and set(named) <= set(pages)


def targets(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [target for value in (entry.values() if isinstance(entry, dict) else entry) for target in targets(value)]


@pytest.mark.parametrize(
    ("page", "link", "path"),
    [
        ("docs/a.md", "b.md#part", "docs/b.md"),
        ("docs/claims/README.md", "../../src/x/LAYOUT.md", "src/x/LAYOUT.md"),
        ("README.md", "#part", ""),
        ("README.md", "https://example.org/a.md", ""),
    ],
)
def test_links_are_read_as_in_the_repository(site_pages, page, link, path):
    assert site_pages.repository_path(page, link) == path


def test_words_for_the_tests_do_not_reach_the_site(site_pages):
    assert site_pages.FENCE.sub(r"\g<open>", "```bash run\nls\n```\n") == "```bash\nls\n```\n"


def test_jobs_of_continuous_integration_run_what_is_documented(repository):
    runs = " ".join(
        path.read_text(encoding="utf-8") for path in sorted((repository / ".github/workflows").glob("*.yml"))
    )
    assert "make test" in runs and "mkdocs build --strict" in runs and "make report" in runs
