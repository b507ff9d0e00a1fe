"""Archives are unpacked below their folder or not at all."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from dynfocus.errors import UserError
from dynfocus.ledger import archives
from dynfocus.ledger.archives import Choice, unpack

FILES = {"set/images/a.jpg": b"a" * 5000, "set/images/b.jpg": b"", "set/notes.txt": b"notes"}


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("set")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link(path, name, target, kind):
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make(kind, path, files=FILES):
    if kind == "zip":
        return zipped(path, files)
    return tarred(path, files, {"tar": "w", "gzip": "w:gz", "xz": "w:xz", "bzip2": "w:bz2"}[kind])


@pytest.mark.parametrize("kind", ["zip", "tar", "gzip", "xz", "bzip2"])
def test_every_kind_is_unpacked(tmp_path, kind):
    done = unpack([make(kind, tmp_path / "archive")], tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert (done.members, done.bytes) == (3, 5005)


@pytest.mark.parametrize("kind", ["zip", "tar", "gzip"])
def test_pieces_are_read_as_one_archive(tmp_path, kind):
    whole = make(kind, tmp_path / "archive").read_bytes()
    pieces = []
    for number, start in enumerate(range(0, len(whole), 97)):
        pieces.append(tmp_path / f"archive.{number:03d}")
        pieces[-1].write_bytes(whole[start : start + 97])
    unpack(pieces, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_leading_folders_and_members_can_be_left_out(tmp_path):
    archive = zipped(tmp_path / "archive", FILES)
    unpack([archive], tmp_path / "out", Choice(strip=1, only="*.jpg"))
    assert set(contents(tmp_path / "out")) == {"images/a.jpg", "images/b.jpg"}


@pytest.mark.parametrize("name", ["../out.txt", "set/../../out.txt", "/etc/out.txt", "C:/out.txt", "..\\out.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_would_leave_the_folder_is_refused(tmp_path, kind, name):
    with pytest.raises(UserError, match="would leave its folder") as error:
        unpack([make(kind, tmp_path / "archive", {name: b"x"})], tmp_path / "deep" / "out")
    assert "\n" not in str(error.value)
    assert list(tmp_path.rglob("out.txt")) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "a.jpg"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, target, kind):
    with pytest.raises(UserError, match="is a link or device"):
        unpack([link(tmp_path / "archive", "set/link", target, kind)], tmp_path / "out")
    assert contents(tmp_path / "out") == {} if (tmp_path / "out").exists() else True


def test_a_link_in_a_zip_is_refused(tmp_path):
    member = zipfile.ZipInfo("set/link")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="is a link or device"):
        unpack([tmp_path / "archive"], tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "gzip"])
def test_a_bomb_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWANCE", 1000)
    archive = make(kind, tmp_path / "archive", {f"{number}.txt": b"0" * 1_000_000 for number in range(3)})
    with pytest.raises(UserError, match="200 times its size"):
        unpack([archive], tmp_path / "out")
    assert sum(map(len, contents(tmp_path / "out").values())) < 3_000_000


@pytest.mark.parametrize("kind", ["zip", "tar", "gzip"])
@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_truncated_archive_is_refused(tmp_path, kind, left):
    archive = make(kind, tmp_path / "archive", {"a.bin": bytes(range(256)) * 40})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * left)])
    if kind == "tar" and left == 0.9:
        archive.write_bytes(whole[:5000])
    with pytest.raises(UserError, match=r"delete (it|the archive)") as error:
        unpack([archive], tmp_path / "out")
    assert "\n" not in str(error.value)
    assert "a.bin" not in contents(tmp_path / "out") if (tmp_path / "out").exists() else True


def test_unpacking_again_replaces_what_is_there(tmp_path):
    archive = zipped(tmp_path / "archive", FILES)
    unpack([archive], tmp_path / "out")
    (tmp_path / "out/set/notes.txt").write_bytes(b"NOTES")
    unpack([archive], tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_an_archive_without_wanted_members_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no file to unpack"):
        unpack([zipped(tmp_path / "archive", FILES)], tmp_path / "out", Choice(only="*.mp4"))


NESTED = {"all/MSVD/test_q.json": b"1", "all/MSVD/videos/a.avi": b"2", "all/MSRVTT/test_q.json": b"3"}


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (Choice(below="MSVD"), {"test_q.json", "videos/a.avi"}),
        (Choice(below="MSVD", keep=1), {"test_q.json", "a.avi"}),
        (Choice(keep=2, only="*.avi"), {"videos/a.avi"}),
    ],
)
def test_a_folder_is_found_at_any_depth(tmp_path, choice, kept):
    unpack([zipped(tmp_path / "archive", NESTED)], tmp_path / "out", choice)
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == kept


def test_two_members_at_one_place_are_refused(tmp_path):
    with pytest.raises(UserError, match="and another member both go to"):
        unpack([zipped(tmp_path / "archive", NESTED)], tmp_path / "out", Choice(keep=1))
