"""Where the decoding of a film may begin, read from the pictures themselves.

Containers mark packets as key frames, but also where a picture is merely refreshed bit by bit, or everywhere. Here a
packet so marked counts only if its bit stream says that all that is shown from it on can be decoded without what lies
before it in the file. The codecs that are not known here are decoded from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

START_CODE = b"\0\0\1"
SEI_RECOVERY_POINT = 6
HIDING = ("vp8", "vp9")
"""Codecs of which a packet may hold a picture that is never shown."""


@dataclass(frozen=True)
class Entry:
    """What a packet marked as a key frame says of itself.

    begins: decoding can begin here; sets, all_sets: it carries parameter sets, and every one that a decoder needs.
    """

    begins: bool
    sets: bool = False
    all_sets: bool = False


Reader = Callable[[memoryview], Entry]


def entry_reader(codec: str, extradata: bytes | None) -> Reader | None:
    """What tells the entries of a codec (FFmpeg's name); None where nothing does."""
    prefix = _prefix_length(codec, extradata or b"")
    readers: dict[str, Reader] = {
        "h264": lambda packet: _h264(_units(packet, prefix)),
        "hevc": lambda packet: _hevc(_units(packet, prefix)),
        "vp8": lambda packet: Entry(not packet[0] & 1),
        "vp9": lambda packet: Entry(_vp9_frame(packet[0]) == (0, 1)),
        "av1": lambda packet: Entry(_av1_begins(packet)),
    }
    return readers.get(codec)


def is_hidden(codec: str, packet: memoryview) -> bool:
    """Whether a packet of a codec of HIDING holds only a picture that is not shown by itself."""
    if codec == "vp8":
        return not packet[0] >> 4 & 1
    superframe = packet[-1] >> 5 == 0b110
    return not superframe and _vp9_frame(packet[0])[1] == 0


def _prefix_length(codec: str, extradata: bytes) -> int:
    """Bytes of the length before each unit of H.264 and HEVC; 0 for start codes."""
    place = {"h264": 4, "hevc": 21}.get(codec)
    if place is None or len(extradata) <= place or extradata[0] != 1:
        return 0
    return (extradata[place] & 3) + 1


def _units(packet: memoryview, prefix: int) -> Iterator[bytes]:
    """The network abstraction layer units of a packet."""
    content = bytes(packet)
    if not prefix:
        yield from content.split(START_CODE)[1:]
        return
    place = 0
    while place + prefix < len(content):
        length = int.from_bytes(content[place : place + prefix], "big")
        yield content[place + prefix : place + prefix + length]
        place += prefix + length


def _h264(units: Iterator[bytes]) -> Entry:
    """An IDR picture, or a recovery point from which everything is exact at once (ITU-T H.264, 7.4.1.2.4 and D.2.8)."""
    seen: set[int] = set()
    exact = False
    for unit in units:
        kind = unit[0] & 31 if unit else 0
        if kind == 6:
            exact = exact or _recovers_at_once(unit)
        if 1 <= kind <= 5:
            return Entry(kind == 5 or exact, bool(seen & {7, 8}), {7, 8} <= seen)
        seen.add(kind)
    return Entry(False)


def _hevc(units: Iterator[bytes]) -> Entry:
    """A picture of intra random access (ITU-T H.265, 7.4.2.2); what it leads in is shown before it."""
    seen: set[int] = set()
    for unit in units:
        kind = unit[0] >> 1 & 63 if unit else 63
        if kind < 32:
            return Entry(16 <= kind <= 21, bool(seen & {32, 33, 34}), {33, 34} <= seen)
        seen.add(kind)
    return Entry(False)


def _recovers_at_once(unit: bytes) -> bool:
    """Whether a unit of supplemental information is a recovery point of 0 frames, exactly matched, no broken link."""
    content = unit[1:].replace(b"\0\0\3", b"\0\0")
    place = 0
    while place + 2 < len(content):
        values = []
        for _ in range(2):
            value = 0
            while place < len(content) and content[place] == 255:
                value += 255
                place += 1
            values.append(value + (content[place] if place < len(content) else 0))
            place += 1
        kind, length = values
        if kind == SEI_RECOVERY_POINT and place < len(content):
            return content[place] >> 5 == 0b110
        place += length
    return False


def _vp9_frame(first: int) -> tuple[int, int]:
    """(frame type, shown) of a VP9 frame; type 0 is a key frame, 1 any other."""
    bits = f"{first:08b}"
    place = 5 if bits[2:4] == "11" else 4
    return (1, 1) if bits[place] == "1" else (int(bits[place + 1]), int(bits[place + 2]))


def _av1_begins(packet: memoryview) -> bool:
    """Whether the first frame of an AV1 temporal unit is a key frame that is shown (AV1, 5.9.2)."""
    place = 0
    while place < len(packet):
        header = packet[place]
        kind, extended, sized = header >> 3 & 15, header >> 2 & 1, header >> 1 & 1
        place += 1 + extended
        length, shift = 0, 0
        while sized and place < len(packet):
            value = packet[place]
            place += 1
            length |= (value & 127) << shift
            shift += 7
            if not value & 128:
                break
        if kind in (3, 6):
            return place < len(packet) and packet[place] >> 4 == 0b0001
        if not sized:
            return False
        place += length
    return False
