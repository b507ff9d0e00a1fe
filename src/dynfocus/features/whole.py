"""Whether a file has all of its bytes, by the lengths that its own container states.

A player shows a cut-off file as a shorter film. Each container written by FFmpeg says somewhere how long its parts are;
the walk below goes from part to part without reading them. `is_cut_off` answers True where a part reaches beyond the
end of the file or the closing part is missing, False where the container vouches for its end, and None where it cannot
tell: streams, which may end anywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TAIL = 1 << 18
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
EBML_SEGMENT = 0x18538067
EBML_MASTERS = (EBML_SEGMENT, 0x1F43B675)
"""Segment and Cluster: where their length is unknown, their children are walked."""
ISO_BOXES = (b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"mfra", b"meta")
TS_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Length of a packet of a transport stream and the place of its sync byte."""
TS_SYNC = 0x47


def is_cut_off(path: Path, container: str) -> bool | None:
    """True, False or None (cannot tell) for a file of an FFmpeg format name."""
    if container not in WALKS:
        return None
    with path.open("rb") as file:
        try:
            return WALKS[container](file, path.stat().st_size)
        except (struct.error, IndexError):  # the end came within a length
            return True


def _iso(file: BinaryIO, size: int) -> bool | None:
    """Boxes of MP4, MOV and 3GP. Each fragment is whole by itself, so a fragmented file may end after any."""
    place, fragmented = 0, False
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind not in ISO_BOXES:
            return None
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length == 0:
            return None
        if length < 8 or place + length > size:
            return True
        fragmented = fragmented or kind == b"moof"
        place += length
    return None if fragmented else False


def _matroska(file: BinaryIO, size: int) -> bool | None:
    """Elements of Matroska and WebM."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(12)
        kind_length = 9 - head[0].bit_length()
        kind = int.from_bytes(head[:kind_length], "big")
        if kind_length > 4 or kind_length >= len(head):
            return True if size - place < 12 else None
        width = 9 - head[kind_length].bit_length()
        if width > 8 or kind_length + width > len(head):
            return True if size - place < 12 else None
        length = int.from_bytes(head[kind_length : kind_length + width], "big") & ((1 << 7 * width) - 1)
        place += kind_length + width
        if length == (1 << 7 * width) - 1:
            if kind not in EBML_MASTERS:
                return None
            continue
        if place + length > size:
            return True
        if kind == EBML_SEGMENT:
            return False
        place += length
    return None


def _avi(file: BinaryIO, size: int) -> bool | None:
    """RIFF chunks; a first one of no length was never closed by its writer, and has no index."""
    place = 0
    while place + 12 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":
            break
        if length == 0:
            return True
        if length == 0xFFFFFFFF:
            return None
        if place + length > size:  # some writers count the 8 bytes of the head
            return True
        place += 8 + length + length % 2
    return False


def _flv(file: BinaryIO, size: int) -> bool | None:
    """Tags of FLV, from one to the next."""
    file.seek(5)
    place = int.from_bytes(file.read(4), "big") + 4
    while place + 11 <= size:
        file.seek(place)
        head = file.read(4)
        if head[0] & 31 not in (8, 9, 18):
            return None
        place += 11 + int.from_bytes(head[1:], "big")
        if place > size:
            return True
        place += 4
    return True if place < size else None


def _asf(file: BinaryIO, size: int) -> bool | None:
    """The header and the data object of ASF and WMV."""
    kind, length = struct.unpack("<16sQ", file.read(24))
    if kind != ASF_HEADER or length + 24 > size:
        return True if kind == ASF_HEADER else None
    file.seek(length)
    kind, data = struct.unpack("<16sQ", file.read(24))
    if kind != ASF_DATA or data < 24 or data >= 1 << 62:
        return None
    return length + data > size


def _transport_stream(file: BinaryIO, size: int) -> bool | None:
    """Packets of a transport stream, all of the same length."""
    head = file.read(1 << 12)
    for length, sync in TS_PACKETS:
        for start in range(min(length, len(head))):
            places = range(start + sync, min(len(head), start + sync + 5 * length), length)
            if len(places) > 1 and all(head[place] == TS_SYNC for place in places):
                return True if (size - start) % length else None
    return None


def _program_stream(file: BinaryIO, size: int) -> bool | None:
    """Packs and packets of an MPEG program stream, over its last ones."""
    start = max(0, size - TAIL)
    file.seek(start)
    tail = file.read()
    place = tail.find(b"\0\0\1\xba")
    while 0 <= place < len(tail):
        head = tail[place : place + 14]
        if len(head) < 4 or (head[:3] == b"\0\0\1" and len(head) < 6):
            return head[:4] != b"\0\0\1\xb9"
        kind = head[3] if head[:3] == b"\0\0\1" else 0
        if kind == 0xB9:
            return False
        if kind == 0xBA:
            place += (14 + (head[13] & 7)) if len(head) == 14 and head[4] >> 6 == 1 else 12
        elif kind >= 0xBB:
            place += 6 + int.from_bytes(head[4:6], "big")
        else:
            return None
    return True if place > len(tail) else None


def _gif(file: BinaryIO, size: int) -> bool | None:
    """Blocks of a GIF up to its trailer."""
    head = file.read(13)
    if len(head) < 13:
        return True
    file.seek(3 << (head[10] & 7) + 1 if head[10] & 128 else 0, 1)
    while True:
        kind = file.read(1)
        if kind == b";":
            return False
        if kind == b"!":
            file.seek(1, 1)
        elif kind == b",":
            frame = file.read(9)
            if len(frame) < 9:
                return True
            file.seek((3 << (frame[8] & 7) + 1 if frame[8] & 128 else 0) + 1, 1)
        else:
            return True if not kind else None
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], 1)


def _ogg(file: BinaryIO, size: int) -> bool | None:
    """The last page of Ogg, which is marked as such."""
    file.seek(max(0, size - TAIL))
    tail = file.read()
    place = tail.rfind(b"OggS")
    if place < 0 or place + 27 > len(tail):
        return True
    segments = tail[place + 27 : place + 27 + tail[place + 26]]
    whole = len(segments) == tail[place + 26] and place + 27 + len(segments) + sum(segments) <= len(tail)
    return not (whole and tail[place + 5] & 4)


WALKS: dict[str, Callable[[BinaryIO, int], bool | None]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _iso,
    "matroska,webm": _matroska,
    "avi": _avi,
    "flv": _flv,
    "asf": _asf,
    "mpegts": _transport_stream,
    "mpeg": _program_stream,
    "gif": _gif,
    "ogg": _ogg,
}
