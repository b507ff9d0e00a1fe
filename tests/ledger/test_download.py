"""Downloads go on where they were cut, refuse what is wrong, and explain in one line."""

from __future__ import annotations

import httpx
import pytest
from loopback import COMMIT, NEXT_COMMIT, Repository, sha256

from dynfocus.errors import UserError
from dynfocus.ledger import http, hub
from dynfocus.ledger.entries import HubSource

FILM = bytes(range(256)) * 4096
SOURCE = HubSource(kind="hub", repo="owner/set", path="*.bin")


def fetch(site, path, file, expected=None, **kwargs):
    with httpx.Client() as client:
        return http.fetch(client, site.url(path), file, expected or http.Expected(), **kwargs)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_cut_download_goes_on_by_range(site, tmp_path):
    site.files["film"] = FILM
    site.cuts["film"] = [100_000, 300_000]
    counted = []
    assert fetch(site, "film", tmp_path / "film", advance=counted.append) == sha256(FILM)
    assert (tmp_path / "film").read_bytes() == FILM
    assert site.asked_ranges("film") == [None, "bytes=100000-", "bytes=400000-"]
    assert site.sent == len(FILM) == sum(counted), "no byte is sent twice"
    assert [path.name for path in tmp_path.iterdir()] == ["film"]


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(site, tmp_path):
    site.files["film"] = FILM
    site.cuts["film"] = [50_000, *[0] * http.TRIES]
    with pytest.raises(UserError, match=r"connection .*; 50,000 bytes are kept in .*film\.part; run the command again"):
        fetch(site, "film", tmp_path / "film")
    assert not (tmp_path / "film").exists()
    counted = []
    fetch(site, "film", tmp_path / "film", advance=counted.append)
    assert (tmp_path / "film").read_bytes() == FILM
    assert counted[0] == 50_000 and site.asked_ranges("film")[-1] == "bytes=50000-"


def test_a_file_that_changed_between_two_runs_starts_anew(site, tmp_path):
    site.files["film"] = FILM
    site.cuts["film"] = [50_000, *[0] * http.TRIES]
    with pytest.raises(UserError):
        fetch(site, "film", tmp_path / "film")
    site.files["film"] = FILM[::-1]
    counted = []
    fetch(site, "film", tmp_path / "film", advance=counted.append)
    assert (tmp_path / "film").read_bytes() == FILM[::-1]
    assert sum(counted) == len(FILM)


def test_a_server_without_ranges_sends_the_whole_file_again(site, tmp_path):
    site.files["film"], site.ranges = FILM, False
    site.cuts["film"] = [50_000]
    fetch(site, "film", tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == FILM


def test_a_part_that_is_whole_is_not_asked_for_again(site, tmp_path):
    site.files["film"] = FILM
    site.cuts["film"] = [50_000, *[0] * http.TRIES]
    with pytest.raises(UserError):
        fetch(site, "film", tmp_path / "film")
    (tmp_path / "film.part").write_bytes(FILM)
    fetch(site, "film", tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == FILM and site.sent == 50_000


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (http.Expected(sha256="0" * 64), r"arrived with SHA-256 .*, where the publisher says 0000"),
        (http.Expected(bytes=7), r"arrived with 1,048,576 bytes, where the publisher says 7"),
        (http.Expected(sha256="0" * 64, said_by="the first download"), r"where the first download says 0000"),
    ],
)
def test_a_wrong_file_is_refused_and_removed(site, tmp_path, expected, message):
    site.files["film"] = FILM
    with pytest.raises(UserError, match=message) as error:
        fetch(site, "film", tmp_path / "film", expected)
    assert "removed" in one_line(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "wants permission"), (403, "wants permission"), (404, "not there any more"), (418, "418")],
)
def test_a_refusal_is_one_line_and_asked_once(site, tmp_path, status, message):
    site.files["film"] = FILM
    site.statuses["film"] = [status]
    with pytest.raises(UserError, match=message) as error:
        fetch(site, "film", tmp_path / "film")
    assert f"HTTP {status}" in one_line(error) and site.url("film") in one_line(error)
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again(site, tmp_path):
    site.files["film"] = FILM
    site.statuses["film"] = [503, 429, 500]
    fetch(site, "film", tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == FILM


def test_a_server_that_is_down_is_one_line(tmp_path, site):
    with httpx.Client() as client, pytest.raises(UserError, match=r"the connection failed \(ConnectError\)") as error:
        http.fetch(client, "http://127.0.0.1:9/film", tmp_path / "film", http.Expected())
    one_line(error)


def test_the_hub_gives_the_files_of_one_commit(site, tmp_path):
    site.repositories["owner/set"] = Repository({"a.bin": FILM, "b.bin": b"two", "notes.md": b""}, large={"a.bin"})
    files = hub.find(SOURCE)
    assert [(file.path, file.bytes, file.commit) for file in files] == [
        ("a.bin", len(FILM), COMMIT),
        ("b.bin", 3, COMMIT),
    ]
    assert files[0].sha256 == sha256(FILM) and files[1].sha256 is None
    for file, content in zip(files, (FILM, b"two"), strict=True):
        path, checksum = hub.fetch(SOURCE, file, tmp_path)
        assert path.read_bytes() == content and checksum == sha256(content)
    asked = [path for _, path, _ in site.requests if "/resolve/" in path]
    assert asked and all(f"/resolve/{COMMIT}/" in path for path in asked)


def test_the_hub_is_asked_for_the_pinned_commit(site):
    site.repositories["owner/set"] = Repository({"a.bin": FILM}, head=NEXT_COMMIT)
    assert hub.find(SOURCE)[0].commit == NEXT_COMMIT
    assert hub.find(SOURCE, COMMIT)[0].commit == COMMIT
    assert hub.find(SOURCE.model_copy(update={"revision": COMMIT}))[0].commit == COMMIT


def test_a_cut_hub_download_goes_on_by_range(site, tmp_path):
    site.repositories["owner/set"] = Repository({"a.bin": FILM}, large={"a.bin"})
    site.cuts[f"owner/set/resolve/{COMMIT}/a.bin"] = [100_000]
    counted = []
    path, _ = hub.fetch(SOURCE, hub.find(SOURCE)[0], tmp_path, counted.append)
    assert path.read_bytes() == FILM
    assert site.asked_ranges("a.bin") == [None, "bytes=100000-"]
    assert sum(counted) == len(FILM)


@pytest.mark.parametrize("large", [{"a.bin"}, set()])
def test_a_hub_file_that_arrives_altered_is_refused(site, tmp_path, large):
    site.repositories["owner/set"] = Repository({"a.bin": FILM}, large=large, wrong={"a.bin"})
    with pytest.raises(UserError, match=r"a\.bin arrived with SHA-256 .*, where the hub says") as error:
        hub.fetch(SOURCE, hub.find(SOURCE)[0], tmp_path)
    one_line(error)
    assert not (tmp_path / "a.bin").exists()


def test_a_gated_repository_says_how_to_get_in(site, tmp_path, monkeypatch):
    site.repositories["owner/set"] = Repository({"a.bin": FILM}, gated=True)
    file = hub.find(SOURCE)[0]
    with pytest.raises(
        UserError, match=r"gated and not open to you \(HTTP 401\); accept its terms at .*owner/set"
    ) as error:
        hub.fetch(SOURCE, file, tmp_path)
    assert "hf auth login" in one_line(error)
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "let-me-in")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    assert hub.fetch(SOURCE, file, tmp_path)[0].read_bytes() == FILM


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo": "owner/none"}, r"owner/none: no such repository, or it is closed to you \(HTTP 401\)"),
        ({"revision": "c" * 40}, r"no commit c{40} \(HTTP 404\); correct `revision`"),
        ({"path": "none.bin"}, r"no file none\.bin at commit a{40}; correct the path"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(site, change, message):
    site.repositories["owner/set"] = Repository({"a.bin": FILM})
    with pytest.raises(UserError, match=message) as error:
        hub.find(SOURCE.model_copy(update=change))
    one_line(error)


def test_a_file_that_left_the_repository_is_one_line(site, tmp_path):
    site.repositories["owner/set"] = Repository({"a.bin": FILM})
    file = hub.find(SOURCE)[0]
    site.repositories["owner/set"].files.clear()
    with pytest.raises(UserError, match=r"is not there \(HTTP 404\)") as error:
        hub.fetch(SOURCE, file, tmp_path)
    one_line(error)
