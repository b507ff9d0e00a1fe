"""What the packets of a film tell without decoding it: its frames in order, and where decoding may begin.

All packets are walked once, which costs little. Only their times are kept: 17 bytes a packet, however long the film.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.stream import Discard, Disposition
from numpy.typing import NDArray

from dynfocus.errors import MediumError
from dynfocus.features.entries import HIDING, entry_reader, is_hidden
from dynfocus.features.media import require_of_file
from dynfocus.features.timeline import Timeline, timeline
from dynfocus.features.whole import is_cut_off

PLAYLISTS = {"hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp", "rtp"}
"""Formats that name other files or addresses: a film is what it says in its own file."""
UNKNOWN = -(1 << 63)
"""A time that the container does not give (FFmpeg's own value)."""
DECODE_TIMES = ("avi", "asf")
"""Containers whose times say when a frame is decoded, which with B-frames is not when it is shown."""
OWN_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv")
"""Containers that state their duration, and may not vouch for their end by their parts."""
MISSING_SECONDS, MISSING_SHARE = 1.0, 0.02
"""A film that ends this much before the duration that its container states is cut off."""
NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
CHANGES: tuple[Literal["new_extradata", "param_change"], ...] = ("new_extradata", "param_change")


@dataclass(frozen=True)
class Film:
    """The packets 0 ... n - 1 of a film's video stream, in the order of the file.

    pts (n,): times in `tick` seconds, UNKNOWN where not given; entries: the packets at which decoding may begin; shown:
    the packets of the frames, in the order in which they are shown. Both are None where only decoding from the start
    gives the film for certain: unknown codecs, times that are missing or not those of presentation, settings that
    change on the way, a beginning that leans on what is not there.
    """

    path: Path
    stream: int
    codec: str
    pixel_aspect: float
    tick: float
    rate: float | None
    decode_times: bool
    broadcast: bool
    pts: NDArray[np.int64]
    last: float
    entries: NDArray[np.int64] | None
    shown: NDArray[np.int64] | None

    def timeline(self) -> Timeline:
        """When the frames are shown; where `shown` is None, as far as the packets tell."""
        pts = self.pts if self.shown is None else self.pts[self.shown]
        times = np.full(len(pts), np.nan)
        times[pts != UNKNOWN] = np.sort(pts[pts != UNKNOWN]) * self.tick
        return self.timeline_of(times, self.last)

    def timeline_of(self, times: NDArray[np.float64], last: float) -> Timeline:
        """The timeline of frames (n,) as they come out of the decoder, the last of which stays `last` seconds."""
        return timeline(times, last, self.rate, self.decode_times, self.broadcast)


class _Log:
    """The packets of one stream as they are walked."""

    def __init__(self, stream: av.VideoStream):
        context = stream.codec_context
        self.stream = stream
        self.pts, self.durations = array("q"), array("q")
        self.unseen, self.marked = bytearray(), array("q")
        self.corrupt = self.changes = False
        self._codec = context.codec.canonical_name
        self._hides = self._codec in HIDING
        self._each = context.codec.intra_only
        self._read = entry_reader(self._codec, context.extradata)
        self._entries: list = []

    def add(self, packet: av.Packet) -> None:
        """Note a packet."""
        if packet.is_keyframe and self._read is not None:
            self._entries.append((len(self.pts), self._read(memoryview(packet))))
        self.pts.append(UNKNOWN if packet.pts is None else packet.pts)
        self.durations.append(packet.duration or 0)
        self.unseen.append(packet.is_discard or (self._hides and is_hidden(self._codec, memoryview(packet))))
        self.corrupt = self.corrupt or packet.is_corrupt
        self.changes = self.changes or any(packet.has_sidedata(kind) for kind in CHANGES)

    def entries(self) -> NDArray[np.int64]:
        """Packets at which decoding may begin; none for a codec that is not known."""
        if self._each:
            return np.arange(len(self.pts))
        inside = any(entry.sets for _, entry in self._entries)
        chosen = [number for number, entry in self._entries if entry.begins and (entry.all_sets or not inside)]
        return np.array(chosen, dtype=np.int64)


def survey(path: Path) -> Film:
    """Walk the packets of a video file; MediumError where it is none, broken or cut off."""
    with opened(path) as container:
        name = container.format.name
        whole = is_cut_off(path, name)
        if whole:
            raise MediumError("cut off", f"{path}: broken video (cut off before its end); replace the file")
        log = _walk(path, container)
        if log.corrupt and name != "mpegts":  # in a broadcast: a packet before it was lost, or the file was joined
            raise MediumError(
                "cut off", f"{path}: broken video (cut off after {len(log.pts) - 1} frames); replace the file"
            )
        film = _film(path, container, log)
        end = (container.duration or 0) / av.time_base
    if whole is None and name in OWN_DURATION:
        _require_end(film, end)
    return film


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A media file with at least one video stream that can be decoded."""
    try:
        container = av.open(str(path.absolute()))  # a relative name may look like an address: `concat:a|b`
    except (OSError, av.error.FFmpegError) as error:
        require_of_file(error)
        raise MediumError(
            "not a video", f"{path}: not a readable video ({error.strerror}); replace the file"
        ) from error
    with container:
        if PLAYLISTS & set(container.format.name.split(",")):
            raise MediumError("a playlist", f"{path}: names other files and holds no film; put the film itself there")
        if not container.streams.video:
            raise MediumError("no video stream", f"{path}: no video stream; replace the file")
        yield container


def packets_of(container: InputContainer, number: int) -> Iterator[av.Packet]:
    """The packets of the stream `number`, those of other streams left out by the reader of the container."""
    for stream in container.streams:
        if stream.index != number:
            stream.discard = Discard.all
    return (packet for packet in container.demux(container.streams[number]) if packet.size)


def _walk(path: Path, container: InputContainer) -> _Log:
    """The packets of the first stream that is a film: a single picture before it is its cover."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not streams:
        raise MediumError("no decoder", f"{path}: a video of an unknown coding; convert it to mp4")
    films = [stream for stream in streams if not stream.disposition & NOT_A_FILM]
    if not films:
        raise MediumError("no video stream", f"{path}: no video stream but a cover; replace the file")
    for stream in container.streams:
        if stream not in films:
            stream.discard = Discard.all
    logs = {stream.index: _Log(stream) for stream in films}
    for packet in container.demux(films):
        if packet.size:
            logs[packet.stream_index].add(packet)
    log = next((log for log in logs.values() if len(log.pts) > 1), next(iter(logs.values())))
    if not log.pts:
        raise MediumError("no frames", f"{path}: no frames; replace the file")
    return log


def _film(path: Path, container: InputContainer, log: _Log) -> Film:
    stream, codec = log.stream, log.stream.codec_context.codec
    assert stream.time_base is not None, "a stream with packets has a time base"
    tick = float(stream.time_base)
    pts = np.array(log.pts, dtype=np.int64)
    seen = np.frombuffer(log.unseen, dtype=np.uint8) == 0
    decode_times = container.format.name in DECODE_TIMES and codec.reorder
    entries = log.entries()
    shown = None
    if len(entries) and not (decode_times or log.changes or (pts == UNKNOWN).any()):
        numbers = np.flatnonzero(seen)
        numbers = numbers[numbers >= entries[0]]
        order = numbers[np.argsort(pts[numbers], kind="stable")]
        if len(order) and pts[order[0]] >= pts[entries[0]] and (np.diff(pts[order]) > 0).all():
            shown = order
    last = int(np.argmax(pts)) if shown is None else int(shown[-1])
    aspect = stream.sample_aspect_ratio
    return Film(
        path=path,
        stream=stream.index,
        codec=codec.canonical_name,
        pixel_aspect=float(aspect) if aspect else 1.0,
        tick=tick,
        rate=float(stream.average_rate) if stream.average_rate else None,
        decode_times=decode_times,
        broadcast=bool(container.format.flags & cast(int, Flags.ts_discont.value)),
        pts=pts,
        last=log.durations[last] * tick,
        entries=None if shown is None else entries,
        shown=shown,
    )


def _require_end(film: Film, stated: float) -> None:
    """MediumError where no stream of a film comes near the `stated` end of its container, in seconds."""
    least = stated - max(MISSING_SECONDS, MISSING_SHARE * stated)
    if film.pts.max() * film.tick + film.last >= least:
        return
    last = 0.0
    with opened(film.path) as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if last < least:
        raise MediumError(
            "cut off", f"{film.path}: broken video (cut off after {last:.1f} of {stated:.1f} s); replace the file"
        )
