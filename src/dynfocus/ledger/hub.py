"""Files of a Hugging Face repository, at one commit and checked against what the hub says of them.

`HF_ENDPOINT`, `HF_TOKEN` and the login of `hf auth login` count as everywhere. The commit is resolved once per part and
every file is fetched from it. A large file carries its SHA-256 on the hub, a small one its git hash.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, RepoFile, hf_hub_download
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm

from dynfocus.errors import UserError
from dynfocus.ledger.entries import HubSource
from dynfocus.ledger.http import Advance, Unavailable, sha256_of

ACCESS = "accept its terms at {page} and log in (`hf auth login`, or a token in HF_TOKEN)"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: path, size, SHA-256 (large files) or git hash, and the commit that it is taken from."""

    path: str
    bytes: int
    sha256: str | None
    git_hash: str
    commit: str


class Silent(tqdm):
    """A progress bar of huggingface_hub that only tells `advance` of its bytes."""

    advance: Advance

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "disable": True})
        if initial := kwargs.get("initial"):
            self.advance(int(initial))

    def update(self, n: float | None = 1) -> None:
        self.advance(int(n or 0))


def endpoint() -> str:
    """Address of the hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def page(source: HubSource) -> str:
    """Address of a repository's page."""
    return f"{endpoint()}/{'datasets/' if source.type == 'dataset' else ''}{source.repo}"


def find(source: HubSource, commit: str | None = None) -> list[HubFile]:
    """The files that a source names, at `commit`, at its own revision, or at the head.

    Raises:
        UserError: no such repository, revision or file, no access, or no answer.
    """
    api = HfApi(endpoint=endpoint())
    try:
        info = api.repo_info(source.repo, repo_type=source.type, revision=commit or source.revision, timeout=30)
        tree = list(api.list_repo_tree(source.repo, repo_type=source.type, revision=info.sha, recursive=True))
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise _explained(error, source) from error
    files = [
        HubFile(item.path, item.size, item.lfs.sha256 if item.lfs else None, item.blob_id, str(info.sha))
        for item in tree
        if isinstance(item, RepoFile) and fnmatch.fnmatchcase(item.path, source.path)
    ]
    if not files:
        raise Unavailable(f"{page(source)}: no file {source.path} at commit {info.sha}; correct the path in the ledger")
    return sorted(files, key=lambda file: file.path)


def fetch(source: HubSource, file: HubFile, folder: Path, advance: Advance = lambda _: None) -> tuple[Path, str]:
    """Download a file below `folder` and return where it is and its SHA-256; what an interruption left is continued.

    Raises:
        UserError: no access, no answer, or content that differs from what the hub says (it is removed).
    """
    silent = type("SilentBar", (Silent,), {"advance": staticmethod(advance)})
    try:
        path = hf_hub_download(
            source.repo,
            file.path,
            repo_type=source.type,
            revision=file.commit,
            local_dir=folder,
            endpoint=endpoint(),
            tqdm_class=silent,
        )
    except (HfHubHTTPError, httpx2.HTTPError, LocalEntryNotFoundError, FileMetadataError) as error:
        raise _explained(error, source) from error
    checksum = sha256_of(Path(path))
    genuine = checksum == file.sha256 if file.sha256 else git_hash(Path(path)) == file.git_hash
    if not genuine:
        Path(path).unlink()
        wanted = f"SHA-256 {file.sha256}" if file.sha256 else f"git hash {file.git_hash}"
        raise UserError(
            f"{page(source)}: {file.path} arrived with SHA-256 {checksum}, where the hub says {wanted}; "
            "it was removed: run the command again"
        )
    return Path(path), checksum


def git_hash(file: Path) -> str:
    """Git's name of a file's content."""
    digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _explained(error: Exception, source: HubSource) -> UserError:
    """A hub error as one line: what, where, what to do."""
    where, access = page(source), ACCESS.format(page=page(source))
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(cause, GatedRepoError):
        return Unavailable(f"{where}: gated and not open to you (HTTP {status}); {access}")
    if isinstance(cause, RepositoryNotFoundError):
        return Unavailable(
            f"{where}: no such repository, or it is closed to you (HTTP {status}); check its name, or {access}"
        )
    if isinstance(cause, RevisionNotFoundError):
        return Unavailable(f"{where}: no commit {source.revision} (HTTP {status}); correct `revision` in the ledger")
    if isinstance(cause, RemoteEntryNotFoundError):
        return Unavailable(f"{where}: {source.path} is not there (HTTP {status}); correct `path` in the ledger")
    if status in (401, 403):
        return Unavailable(f"{where}: not open to you (HTTP {status}); {access}")
    first = (str(cause) or type(cause).__name__).splitlines()[0]
    return UserError(f"{where}: the hub does not answer ({first}); run the command again to go on where it stopped")
