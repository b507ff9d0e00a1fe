"""A set arrives whole, once, checked; what only a person can get is asked for first."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import yaml
from loopback import COMMIT, NEXT_COMMIT, Repository, sha256
from typer.testing import CliRunner

from dynfocus.cli import app, main
from dynfocus.errors import UserError
from dynfocus.ledger import http
from dynfocus.ledger.entries import Entry, Part
from dynfocus.ledger.pins import SOURCE, lock_file, read_parts, read_pins, write_lock
from dynfocus.ledger.prepare import DOWNLOADS, prepare

ROWS = b'[{"video_name": "a", "question": "what?", "question_id": "q"}]'
ANSWERS = b'[{"answer": "red", "question_id": "q"}]'


def videos(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(f"release/videos/{name}.mp4", name.encode() * 30_000)
    return content.getvalue()


def entry(site, **changes) -> Entry:
    """A set of one file from a server, one from the hub, and an archive in two pieces."""
    archive = videos("a", "b")
    site.files |= {"rows.json": ROWS, "videos.1": archive[:20_000], "videos.2": archive[20_000:]}
    site.repositories["owner/set"] = Repository({"answers.json": ANSWERS, "README.md": b""})
    gated = changes.get("status") == "gated"
    pieces = {"kind": "url", "urls": [site.url("videos.1"), site.url("videos.2")], "unpack": True, "strip": 2}
    parts = [
        {"sources": [{"kind": "url", "urls": [site.url("rows.json")]}], "to": "test_q.json"},
        {
            "sources": [{"kind": "hub", "repo": "owner/set", "path": "answers.json", "gated": gated}],
            "to": "test_a.json",
        },
        {"sources": [pieces], "to": "videos", "provides": ["videos/*.mp4"]},
    ]
    values = {"title": "Set", "status": "open", "home": "https://example.org", "licence": "CC0", "mini": "films"}
    return Entry.model_validate({**values, "parts": parts, **changes})


def changed(part: Part, **fields) -> Part:
    """A part with another form of its only source."""
    return part.model_copy(update={"sources": [part.source.model_copy(update=fields)]})


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_set_arrives_in_its_layout_with_a_record(site, tmp_path):
    prepare("msvd_qa", entry(site), {}, tmp_path)
    assert names(tmp_path) == {"test_q.json", "test_a.json", "videos/a.mp4", "videos/b.mp4", SOURCE}
    rows, answers, media = read_parts(tmp_path)
    assert (rows.files[0].sha256, rows.files[0].check) == (sha256(ROWS), "first download")
    assert (answers.files[0].sha256, answers.files[0].check, answers.files[0].commit) == (
        sha256(ANSWERS),
        "published",
        COMMIT,
    )
    assert (len(media.files), media.members, media.unpacked_bytes) == (2, 2, 60_000)


def test_a_second_time_nothing_is_fetched(site, tmp_path):
    prepare("msvd_qa", entry(site), {}, tmp_path)
    before, record = len(site.requests), (tmp_path / SOURCE).read_bytes()
    prepare("msvd_qa", entry(site), {}, tmp_path)
    assert len(site.requests) == before and (tmp_path / SOURCE).read_bytes() == record


def test_an_interrupted_set_goes_on_where_it_stopped(site, tmp_path):
    wanted = entry(site)
    site.cuts["videos.2"] = [5_000, *[0] * http.TRIES]
    with pytest.raises(UserError, match=r"msvd_qa: .*videos\.2: .*5,000 bytes are kept"):
        prepare("msvd_qa", wanted, {}, tmp_path)
    assert (tmp_path / "test_q.json").exists() and not (tmp_path / "videos").exists()
    asked = len(site.requests)
    prepare("msvd_qa", wanted, {}, tmp_path)
    again = [(path, asked) for _, path, asked in site.requests[asked:]]
    assert again == [("videos.2", "bytes=5000-")], "only the rest of the cut file"
    assert (tmp_path / "videos/b.mp4").exists() and not (tmp_path / DOWNLOADS).exists()


def test_a_failed_part_is_named_after_the_others_are_finished(site, tmp_path, capsys):
    wanted = entry(site)
    del site.files["rows.json"]
    site.repositories.clear()
    with pytest.raises(UserError, match=r"\(and 1 more\)"):
        prepare("msvd_qa", wanted, {}, tmp_path)
    assert (tmp_path / "videos/a.mp4").exists()
    assert "HTTP 404" in capsys.readouterr().err


def test_a_recorded_checksum_binds_the_next_download(site, tmp_path):
    wanted = entry(site)
    ledger = tmp_path / "datasets.yaml"
    prepare("msvd_qa", wanted, {}, tmp_path / "first" / "msvd_qa")
    assert write_lock(ledger, tmp_path / "first", ["msvd_qa", "mlvu"]) == ["msvd_qa"]
    assert list(json.loads(lock_file(ledger).read_text())) == ["msvd_qa"]
    pins = read_pins(ledger)
    prepare("msvd_qa", wanted, pins, tmp_path / "second" / "msvd_qa")
    assert read_parts(tmp_path / "second" / "msvd_qa")[0].files[0].check == "recorded"
    site.files["rows.json"] = ROWS + b" "
    with pytest.raises(UserError, match=r"rows\.json: arrived with 63 bytes, where the first download says 62"):
        prepare("msvd_qa", wanted, pins, tmp_path / "third" / "msvd_qa")


def test_a_recorded_commit_is_asked_for_again(site, tmp_path):
    wanted = entry(site)
    prepare("msvd_qa", wanted, {}, tmp_path)
    site.repositories["owner/set"].head = NEXT_COMMIT
    (tmp_path / "test_a.json").unlink()
    prepare("msvd_qa", wanted, read_pins(tmp_path / "none.yaml", tmp_path), tmp_path)
    assert read_parts(tmp_path)[1].files[0].commit == COMMIT


def test_another_source_or_commit_in_the_ledger_replaces_the_files(site, tmp_path):
    wanted = entry(site)
    prepare("msvd_qa", wanted, {}, tmp_path)
    site.files["newer.json"] = ROWS.replace(b"what", b"who!")
    parts = wanted.model_dump(mode="json")["parts"]
    parts[0]["sources"][0]["urls"] = [site.url("newer.json")]
    parts[1]["sources"][0]["revision"] = NEXT_COMMIT
    before = len(site.requests)
    prepare("msvd_qa", entry(site, parts=parts), {}, tmp_path)
    assert b"who!" in (tmp_path / "test_q.json").read_bytes()
    assert read_parts(tmp_path)[1].files[0].commit == NEXT_COMMIT
    assert not [path for _, path, _ in site.requests[before:] if path.startswith("videos")]


def test_files_put_in_place_by_hand_are_kept(site, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"own copy")
    prepare("msvd_qa", entry(site), {}, tmp_path)
    assert (tmp_path / "videos/a.mp4").read_bytes() == b"own copy"
    assert [part.origin for part in read_parts(tmp_path)][-1] == "by hand"
    assert not [path for _, path, _ in site.requests if path.startswith("videos")]


def manual(site, **changes) -> Entry:
    wanted = entry(site).model_dump(mode="json")["parts"][:2]
    wanted.append(
        {"sources": [{"kind": "manual", "how": "Ask the\n publisher."}], "to": "videos", "provides": ["videos/*"]}
    )
    return entry(site, status="manual", parts=wanted, **changes)


def test_what_a_person_must_get_is_asked_for_before_any_download(site, tmp_path, capsys):
    with pytest.raises(
        UserError, match=r"msvd_qa: not downloadable; .*videos/\* is missing; put the files where"
    ) as error:
        prepare("msvd_qa", manual(site), {}, tmp_path)
    said = capsys.readouterr().err
    assert "1. Ask the publisher." in said and f"-> {tmp_path / 'videos/*'}" in said and "CC0" in said
    assert "\n" not in str(error.value) and site.requests == []
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.avi").write_bytes(b"film")
    prepare("msvd_qa", manual(site), {}, tmp_path)
    assert [part.origin for part in read_parts(tmp_path)][-1] == "by hand"


def test_a_withdrawn_set_names_its_substitute(site, tmp_path, capsys):
    parts = [{"sources": [{"kind": "manual", "how": "Copy."}], "to": "videos"}]
    with pytest.raises(UserError, match="withdrawn"):
        prepare("msvd_qa", entry(site, status="withdrawn", substitute="images alone", parts=parts), {}, tmp_path)
    assert "was withdrawn by its publisher" in (said := capsys.readouterr().err) and "images alone" in said


def test_a_gated_set_says_how_to_get_in_and_where_files_go(site, tmp_path, capsys):
    wanted = entry(site, status="gated")
    site.repositories["owner/set"].gated = True
    with pytest.raises(UserError, match=r"gated and not open to you"):
        prepare("msvd_qa", wanted, {}, tmp_path)
    said = capsys.readouterr().err
    assert "hf auth login" in said and f"-> {tmp_path / 'test_a.json'}" in said


def test_an_archive_of_another_layout_is_named(site, tmp_path):
    wanted = entry(site)
    part = changed(wanted.parts[2], strip=0)
    with pytest.raises(UserError, match=r"does not provide .*videos/\*\.mp4; the publisher changed its layout"):
        prepare("msvd_qa", wanted.model_copy(update={"parts": [part]}), {}, tmp_path)


def test_a_disk_that_is_too_small_is_told_before(site, tmp_path):
    wanted = entry(site)
    part = changed(wanted.parts[2], gigabytes=1e9)
    with pytest.raises(UserError, match="GB are free; make room"):
        prepare("msvd_qa", wanted.model_copy(update={"parts": [part]}), {}, tmp_path)
    assert site.requests == []


def test_files_of_a_pattern_keep_their_folders(site, tmp_path):
    parts = [{"sources": [{"kind": "hub", "repo": "owner/set", "path": "data/video/*"}], "to": "video"}]
    wanted = entry(site, parts=parts)
    files = {"data/json/1.json": b"[]", "data/video/x/1.mp4": b"a", "data/video/y/1.mp4": b"b"}
    site.repositories["owner/set"] = Repository(files)
    prepare("mlvu", wanted, {}, tmp_path)
    assert names(tmp_path) == {"video/x/1.mp4", "video/y/1.mp4", SOURCE}


@pytest.fixture
def command(site, tmp_path, repository, monkeypatch):
    """The options of a profile whose ledger has one set."""
    ledger = tmp_path / "datasets.yaml"
    ledger.write_text(yaml.safe_dump({"sets": {"msvd_qa": entry(site).model_dump(mode="json")}}))
    monkeypatch.chdir(repository)
    options = ["source=ledger", f"ledger={ledger}", f"root={tmp_path / 'run'}"]
    return ["--config", "config/mini.yaml", *(part for option in options for part in ("--set", option))]


def test_the_command_downloads_a_set_and_writes_its_manifest(command, tmp_path):
    done = CliRunner().invoke(app, ["prepare-data", "--dataset", "msvd_qa", *command], catch_exceptions=False)
    assert done.exit_code == 0
    manifest = json.loads((tmp_path / "run/data/msvd_qa/manifest.json").read_text())
    assert manifest["command"] == "prepare-data" and manifest["apart"] == ["*/*"]


def test_the_table_shows_every_set_and_pins_are_written_beside_the_ledger(command, tmp_path):
    shown = CliRunner().invoke(app, ["datasets", *command], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "msvd_qa" in shown.output
    CliRunner().invoke(app, ["prepare-data", "--dataset", "msvd_qa", *command])
    CliRunner().invoke(app, ["datasets", "--pin", *command])
    assert "msvd_qa" in json.loads((tmp_path / "datasets.lock.json").read_text())


def test_a_refusal_is_one_line_and_exit_code_2(command, site, monkeypatch, capsys):
    del site.files["rows.json"]
    monkeypatch.setattr("sys.argv", ["dynfocus", "prepare-data", "--dataset", "msvd_qa", *command])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    last = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dynfocus:")]
    assert len(last) == 1 and "HTTP 404" in last[0]


def second_choice(site, first: str) -> dict:
    return {
        "to": "test_q.json",
        "sources": [
            {"kind": "url", "urls": [site.url(first)]},
            {"kind": "hub", "repo": "owner/set", "path": "answers.json"},
            {"kind": "manual", "how": "Ask the publisher."},
        ],
    }


def test_a_source_that_is_gone_is_followed_by_the_next_one(site, tmp_path, capsys):
    wanted = entry(site, parts=[second_choice(site, "nowhere.json")])
    prepare("msvd_qa", wanted, {}, tmp_path)
    assert (tmp_path / "test_q.json").read_bytes() == ANSWERS
    (record,) = read_parts(tmp_path)
    assert record.origin == "hub:owner/set/answers.json"
    assert "HTTP 404" in (said := capsys.readouterr().err) and "taking hub:owner/set/answers.json instead" in said
    asked = len(site.requests)
    prepare("msvd_qa", wanted, {}, tmp_path)
    assert len(site.requests) == asked, "what the second source gave is kept"


def test_when_every_source_is_gone_a_person_is_told_what_to_do(site, tmp_path, capsys):
    wanted = entry(site, parts=[second_choice(site, "nowhere.json")])
    site.repositories.clear()
    with pytest.raises(UserError, match="no such repository"):
        prepare("msvd_qa", wanted, {}, tmp_path)
    assert "1. Ask the publisher." in capsys.readouterr().err


def test_a_cut_connection_is_no_reason_to_change_the_source(site, tmp_path):
    wanted = entry(site, parts=[second_choice(site, "rows.json")])
    site.cuts["rows.json"] = [5, *[0] * http.TRIES]
    with pytest.raises(UserError, match="5 bytes are kept"):
        prepare("msvd_qa", wanted, {}, tmp_path)
    prepare("msvd_qa", wanted, {}, tmp_path)
    assert (tmp_path / "test_q.json").read_bytes() == ROWS


def test_media_named_by_number_get_their_names(site, tmp_path):
    """As video2dataset leaves them: 00000/000000012.mp4 beside 000000012.json."""
    parts = [
        {
            "to": "videos",
            "provides": ["videos/*/*.mp4"],
            "sources": [{"kind": "manual", "how": "Copy the videos."}],
            "rename": {"files": "videos/*/*.json", "to": "videos/{page_dir}/{videoid}"},
        }
    ]
    wanted = entry(site, parts=parts, status="manual")
    shard = tmp_path / "videos/00000"
    shard.mkdir(parents=True)
    for number, video in enumerate(("7", "8")):
        (shard / f"{number:09d}.mp4").write_bytes(video.encode())
        (shard / f"{number:09d}.json").write_text(json.dumps({"videoid": video, "page_dir": "000001_000050"}))
    (shard / "000000002.json").write_text(json.dumps({"videoid": "9", "page_dir": "x", "status": "failed_to_download"}))
    prepare("webvid_cap", wanted, {}, tmp_path)
    assert (tmp_path / "videos/000001_000050/7.mp4").read_bytes() == b"7"
    assert {path.name for path in tmp_path.rglob("*.mp4")} == {"7.mp4", "8.mp4"}
    (shard / "000000003.json").write_text(json.dumps({"videoid": "../../../x", "page_dir": ".."}))
    with pytest.raises(UserError, match="outside the set's folder"):
        prepare("webvid_cap", wanted, {}, tmp_path)
    (shard / "000000003.json").write_text(json.dumps({"url": "x"}))
    with pytest.raises(UserError, match="has no field 'page_dir', which names its medium"):
        prepare("webvid_cap", wanted, {}, tmp_path)
