"""Times one frame a second from a long film beside decord and torchcodec, where they are installed.

    python speed/measure_video.py
    python speed/measure_video.py --seconds 60 --repeats 1
    python speed/measure_video.py --films films --out speed/results

The films are made first: 640 x 360 at 30 frames a second, H.264, key frames every 250 and every 30 frames. The readers
take the same frames in turn, each into arrays of RGB, in one process, with as many threads as they choose. Times are
the least of all readings, by the wall clock and by the processor's: what others do on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np

from dynfocus.config.schema import Video
from dynfocus.features.decode import sample
from dynfocus.files import write_result
from dynfocus.steps.manifests import git_commit

GROUPS = (250, 30)
RATE, WIDTH, HEIGHT = 30, 640, 360
Read = Callable[[Path, list[int]], list[np.ndarray]]


@dataclass
class Row:
    """One reader on one film: its least times in seconds, and how many times ours they are."""

    reader: str
    group: int
    wall_s: float
    cpu_s: float
    wall_ratio: float = 1.0
    cpu_ratio: float = 1.0
    equal_frames: float = 1.0


def make_film(path: Path, seconds: int, group: int) -> None:
    """Encode FFmpeg's test picture, of which every frame differs."""
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={seconds}"
    with av.open(source, format="lavfi") as pictures, av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": str(group), "preset": "veryfast"}
        for frame in pictures.decode(video=0):
            frame = frame.reformat(format="yuv420p")
            frame.pict_type = 0
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def ours(path: Path, _: list[int]) -> list[np.ndarray]:
    """This project's sampling by time."""
    return sample(path, Video(fps=1.0), lambda frame: frame).frames


def by_decord(path: Path, indices: list[int]) -> list[np.ndarray]:
    """decord, in one batch."""
    from decord import VideoReader, cpu

    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "1000000")  # it gives up at the end of a film on a busy machine
    return list(VideoReader(str(path), ctx=cpu(0)).get_batch(indices).asnumpy())


def by_torchcodec(path: Path, indices: list[int]) -> list[np.ndarray]:
    """torchcodec, exact seeking, in one batch."""
    from torchcodec.decoders import VideoDecoder

    reader = VideoDecoder(str(path), dimension_order="NHWC", seek_mode="exact", num_ffmpeg_threads=0)
    return list(reader.get_frames_at(indices).data.numpy())


def readers() -> dict[str, Read]:
    """The readers at hand, ours first."""
    found: dict[str, Read] = {"ours": ours}
    for name, module, read in (
        ("decord", "decord", by_decord),
        ("torchcodec", "torchcodec.decoders", by_torchcodec),
    ):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(module)  # which costs seconds, and none of the reading's
            found[name] = read
    return found


def measure(path: Path, group: int, seconds: int, repeats: int) -> list[Row]:
    """All readers on one film, in turn."""
    indices = list(range(0, seconds * RATE, RATE))
    available = readers()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in available}
    equal: dict[str, float] = {}
    for _ in range(repeats):
        first: list[np.ndarray] = []
        for name, read in available.items():
            wall, processor = time.perf_counter(), time.process_time()
            frames = read(path, indices)
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
            seen = [frame[::8, ::8].astype(np.int16) for frame in frames]
            del frames
            first = first or seen
            close = [np.abs(a - b).mean() < 3 for a, b in zip(first, seen, strict=True)]
            equal[name] = float(np.mean(close))
    rows = []
    for name, taken in times.items():
        wall, processor = map(min, zip(*taken, strict=True))
        rows.append(Row(name, group, round(wall, 3), round(processor, 3), equal_frames=equal[name]))
    for row in rows:
        row.wall_ratio = round(row.wall_s / rows[0].wall_s, 2)
        row.cpu_ratio = round(row.cpu_s / rows[0].cpu_s, 2)
    return rows


def table(rows: list[Row], seconds: int, repeats: int) -> str:
    """The result in Markdown."""
    lines = [
        f"# One frame a second from {seconds} s of {WIDTH} × {HEIGHT}, H.264",
        "",
        f"Code {git_commit()}, PyAV {av.__version__}, {platform.machine()}; least of {repeats}. "
        "Ratios: a reader's time over ours.",
        "",
        "| key frames every | reader | wall, s | processor, s | wall, ratio | processor, ratio | same frames |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.group} | {row.reader} | {row.wall_s} | {row.cpu_s} | {row.wall_ratio} | {row.cpu_ratio} "
        f"| {row.equal_frames:.0%} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="length of the films")
    parser.add_argument("--repeats", type=int, default=3, help="readings of each film by each reader")
    parser.add_argument("--films", type=Path, help="folder in which the films are kept and found again")
    parser.add_argument("--out", type=Path, help="folder for video.json and video.md")
    options = parser.parse_args()
    rows = []
    if options.films:
        options.films.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for group in GROUPS:
            path = (options.films or Path(folder)) / f"{options.seconds}-{group}.mp4"
            if not path.is_file():
                make_film(path, options.seconds, group)
            rows += measure(path, group, options.seconds, options.repeats)
    text = table(rows, options.seconds, options.repeats)
    print(text, end="")
    if options.out:
        write_result(options.out / "video", [asdict(row) for row in rows], text)


if __name__ == "__main__":
    main()
