"""config/datasets.yaml, typed: one entry per training set and benchmark.

An entry lists *parts*: a file or an archive, where it goes below `data/{set}/`, and its *sources* in order of
preference: the hub, URLs, or by hand. `null` says that something is not published or not known; what a first download
then finds (commit, size, checksum) is recorded and binds the next one (`dynfocus.ledger.pins`).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dynfocus.config.load import Layer, read_mapping, validate
from dynfocus.config.nearest import require_known
from dynfocus.config.schema import DATASETS, Closed, Count, CountOrZero, Line, Section, line
from dynfocus.errors import UserError

LEDGER = Path("config/datasets.yaml")
Status = Literal["open", "gated", "manual", "withdrawn"]


def _inside(path: str) -> str:
    parts = PurePosixPath(line(path)).parts
    if path.startswith("/") or "\\" in path or ".." in parts:
        raise ValueError("must be a path below the set's folder: relative, without `..`")
    return path


def _https(url: str) -> str:
    if not line(url).startswith(("https://", "http://")) or " " in url:
        raise ValueError("must begin with https:// or http:// and hold no blank")
    return url


RelativePath = Annotated[str, AfterValidator(_inside)]
Url = Annotated[str, AfterValidator(_https)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Download(Closed):
    """What all files that can be downloaded have in common."""

    revision: str | None = Field(
        None, description="Commit. null: the hub's head at the first download, recorded then; a URL that names none."
    )
    unpack: bool = Field(False, description="Whether it is an archive.")
    strip: CountOrZero = Field(0, description="Leading folders that unpacking leaves out.")
    below: str | None = Field(None, description="Folder of the archive, at any depth, that alone is unpacked.")
    keep: int | None = Field(None, ge=1, description="How many last parts of a member's path stay; null: all.")
    only: str | None = Field(None, description="Pattern of the members to unpack; null: all.")
    gigabytes: float | None = Field(None, gt=0, description="Published size for estimates; null: not published.")
    bytes: int | None = Field(None, ge=0, description="Exact size, where published.")
    sha256: Sha256 | None = Field(None, description="Published checksum of a single file; null: none is published.")
    licence: str | None = Field(None, description="Terms of this copy where they are not the set's.")
    gated: bool = Field(False, description="Whether it needs accepted terms and a token.")
    seen: date | None = Field(None, description="Day on which its page was last seen; null: never by us.")

    @model_validator(mode="after")
    def _consistent(self) -> Download:
        if (self.strip or self.below or self.keep or self.only) and not self.unpack:
            raise ValueError("strip, below, keep and only need unpack: true")
        return self

    @property
    def download_bytes(self) -> int | None:
        """Bytes to fetch, exact or as published; None where nobody says."""
        return self.bytes if self.bytes is not None else round(self.gigabytes * 1e9) if self.gigabytes else None


class HubSource(Download):
    """Files of a Hugging Face repository."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="Repository, `owner/name`.")
    path: Line = Field(description="A file of the repository, or a pattern of several.")
    type: Literal["dataset", "model"] = Field("dataset", description="Kind of repository.")

    @property
    def origin(self) -> str:
        return f"hub:{self.repo}/{self.path}"


class UrlSource(Download):
    """A file on a web server, or one archive cut into several files."""

    kind: Literal["url"]
    urls: list[Url] = Field(min_length=1, description="Address; several are the pieces of one archive, in order.")

    @model_validator(mode="after")
    def _pieces(self) -> UrlSource:
        several = len(self.urls) > 1
        if several and not self.unpack:
            raise ValueError("several urls are the pieces of an archive: set unpack: true")
        if several and self.sha256:
            raise ValueError("sha256 belongs to a single downloaded file")
        return self

    @property
    def origin(self) -> str:
        return self.urls[0]


class ManualSource(Closed):
    """Files that a person has to fetch."""

    kind: Literal["manual"]
    how: str = Field(description="What to do, in full sentences.")

    @property
    def origin(self) -> str:
        return "by hand"


Source = Annotated[HubSource | UrlSource | ManualSource, Field(discriminator="kind")]


class Renaming(Section):
    """Media that a download tool named by number, with a JSON file of what it knows beside each (video2dataset)."""

    files: RelativePath = Field(description="Pattern of the JSON files.")
    to: str = Field(description="Path below the set's folder without suffix, from fields of the JSON: `v/{videoid}`.")


class Part(Section):
    """One file or archive of a set, and where it can be had: sources in order of preference."""

    to: RelativePath = Field(description="File, or folder that an archive is unpacked into; `.`: the set's folder.")
    provides: list[RelativePath] = Field([], description="Paths or patterns that must exist afterwards; [`to`].")
    sources: list[Source] = Field(min_length=1, description="Where it comes from; the next one where one fails.")
    rename: Renaming | None = Field(None, description="How files named by number get the names of the set.")

    @model_validator(mode="after")
    def _consistent(self) -> Part:
        whole = [source for source in self.sources if source.kind != "manual" and source.unpack]
        if whole and self.to == "." and not self.provides:
            raise ValueError("an archive unpacked into the set's folder must say what it provides")
        if any(source.kind == "manual" for source in self.sources[:-1]):
            raise ValueError("what a person has to do comes last among the sources")
        return self

    @property
    def source(self) -> HubSource | UrlSource | ManualSource:
        """The source preferred of those that are left."""
        return self.sources[0]

    @property
    def download(self) -> HubSource | UrlSource:
        """The source preferred, of a part that is not got by hand."""
        assert not isinstance(self.source, ManualSource), "what a person has to get is no download"
        return self.source

    @property
    def key(self) -> str:
        """What tells the parts of a set apart, whatever their source."""
        return " ".join([self.to, *self.provides])

    @property
    def expected(self) -> list[str]:
        return self.provides or [self.to]

    @property
    def download_bytes(self) -> int | None:
        """Bytes to fetch from the preferred source, exact or as published; None where nobody says."""
        return None if isinstance(self.source, ManualSource) else self.source.download_bytes

    @property
    def by_hand(self) -> bool:
        """Whether only a person can get it."""
        return self.source.kind == "manual"

    def without_first(self) -> Part | None:
        """The same part from its other sources; None where there is no other."""
        return self.model_copy(update={"sources": self.sources[1:]}) if self.sources[1:] else None


class Entry(Section):
    """A training set or benchmark."""

    title: Line = Field(description="Name as the paper writes it.")
    status: Status = Field(
        description="open: downloads; gated: needs an accepted licence and a token; manual; withdrawn."
    )
    home: Url = Field(description="Page of the publisher.")
    licence: Line = Field(description="Licence or terms; what is only remembered is marked unverified.")
    samples: Count | None = Field(None, description="Records or questions, as published.")
    media: Count | None = Field(None, description="Videos or images, as published.")
    mini: str = Field(description="What stands for the set in the mini world.")
    note: str = Field("", description="Choices, doubts and known faults.")
    substitute: str | None = Field(None, description="What to use in place of a withdrawn set.")
    parts: list[Part] = Field(min_length=1, description="Its files.")

    @model_validator(mode="after")
    def _status_follows_parts(self) -> Entry:
        kinds = {part.source.kind for part in self.parts}
        gated = any(part.download.gated for part in self.parts if not part.by_hand)
        if self.status == "withdrawn" and not self.substitute:
            raise ValueError("a withdrawn set must name its substitute")
        if self.status == "open" and "manual" in kinds:
            raise ValueError("an open set has no part that only a person can get; call it manual")
        if self.status in ("open", "gated") and gated != (self.status == "gated"):
            raise ValueError("a set is gated where the first source of a part is, and open where none is")
        if self.status == "manual" and "manual" not in kinds:
            raise ValueError("a manual set needs a part that only a person can get")
        if self.status == "withdrawn" and kinds != {"manual"}:
            raise ValueError("a withdrawn set is never downloaded: all its parts are manual")
        return self

    @property
    def download_bytes(self) -> int:
        """Bytes of all downloads whose size is known."""
        return sum(part.download_bytes or 0 for part in self.parts)

    @property
    def unknown_sizes(self) -> int:
        """Parts whose size is not published."""
        return sum(part.download_bytes is None for part in self.parts)


class Ledger(Section):
    """The whole file."""

    sets: dict[str, Entry]


def load_ledger(file: Path) -> Ledger:
    """Read and check the ledger.

    Raises:
        UserError: a mistake in the file, a set that the project does not know, or one that is missing.
    """
    values = read_mapping(Path(file))
    ledger = validate(Ledger, values, [Layer(str(file), values)])
    require_known(f"{file}: sets", ledger.sets, DATASETS, "training set or benchmark")
    return ledger


def entry_of(ledger: Ledger, name: str, file: Path) -> Entry:
    """The entry of a set; UserError where the ledger has none."""
    if name not in ledger.sets:
        raise UserError(f"{file}: no entry for {name}; add one, see docs/new_dataset.md")
    return ledger.sets[name]
