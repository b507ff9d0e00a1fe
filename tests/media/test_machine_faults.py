"""A machine that gives out ends a step with one line; it never makes a good medium a bad one, nor a bad one an end."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
from concurrent.futures.process import BrokenProcessPool

import av
import pytest
from films import pictures, write_film
from PIL import Image

from dynfocus import cli
from dynfocus.config.schema import Video
from dynfocus.errors import MachineError, MediumError, UserError
from dynfocus.evaluation.subtitles import frame_times
from dynfocus.features import decode, extract, media, packets, store
from dynfocus.hub.video_processor import frames_of
from dynfocus.ledger.coverage import examine
from dynfocus.machine import faults

VIDEO = Video(fps=1.0, max_frames=10, capped_frames=5, image_size=32)
NUMBERS = ("EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "ESTALE", "ETIMEDOUT")
OF_FFMPEG = {name: lambda name=name: _ffmpeg(getattr(errno, name)) for name in NUMBERS}
OF_PYTHON = {
    **{name: lambda name=name: OSError(getattr(errno, name), os.strerror(getattr(errno, name))) for name in NUMBERS},
    "MemoryError": MemoryError,
    "thread": lambda: RuntimeError("can't start new thread"),
    "worker": lambda: BrokenProcessPool("A process in the process pool was terminated abruptly"),
    "loader": lambda: RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
}
OF_THE_FILE = {
    "broken": lambda: _ffmpeg(av.error.INVALIDDATA.value if hasattr(av.error, "INVALIDDATA") else 1094995529),
    "access": lambda: OSError(errno.EACCES, "Permission denied"),
    "sector": lambda: OSError(errno.EIO, "Input/output error"),
    "too long": lambda: OSError(errno.ENAMETOOLONG, "File name too long"),
    "value": lambda: ValueError("a field is wrong"),
    "index": lambda: IndexError(),
}


def _ffmpeg(number: int) -> Exception:
    kind = av.error.classes.get(number, av.error.FFmpegError)
    return kind(
        number, os.strerror(number) if number < 1000 else "Invalid data found when processing input", "film.mp4"
    )


class Failing:
    """Stands for what a library gives, and fails at one of its calls."""

    def __init__(self, inner, call: str, make):
        self._inner, self._call, self._make = inner, call, make

    def __getattr__(self, name: str):
        if name == self._call:
            return self._fail
        return getattr(self._inner, name)

    def _fail(self, *_, **__):
        raise self._make()


# Where a library may fail: how a failure is put there.
def at_opening(monkeypatch, make):
    monkeypatch.setattr(packets.av, "open", lambda *_, **__: _raise(make()))


def at_walking(monkeypatch, make):
    monkeypatch.setattr(packets, "_walk", lambda *_: _raise(make()))


def at_packets(monkeypatch, make):
    monkeypatch.setattr(decode, "packets_of", lambda *_: (_ for _ in [0] if _raise(make())))


def at_decoding(monkeypatch, make):
    real = decode._decoder
    monkeypatch.setattr(decode, "_decoder", lambda *args, **more: Failing(real(*args, **more), "decode", make))


def at_decoding_from_the_start(monkeypatch, make):
    monkeypatch.setattr(decode, "_decode_groups", lambda *_: False)
    at_decoding(monkeypatch, make)


def at_converting(monkeypatch, make):
    monkeypatch.setattr(decode, "displayed", lambda *_: _raise(make()))


def at_the_ends_check(monkeypatch, make):
    monkeypatch.setattr(packets, "is_cut_off", lambda *_: _raise(make()))


def at_pictures(monkeypatch, make):
    monkeypatch.setattr(media.Image, "open", lambda *_: _raise(make()))


def at_the_name(monkeypatch, make):
    monkeypatch.setattr(media, "locate", lambda *_: _raise(make()))


def _raise(error: Exception):
    raise error


FILM_PLACES = [
    *(at_opening, at_walking, at_packets, at_decoding, at_decoding_from_the_start, at_converting, at_the_ends_check)
]
NOT_WALKING = (at_packets, at_decoding, at_decoding_from_the_start, at_converting)
FILM_READERS = {
    "sample": (lambda folder: decode.sample(folder / "film.mp4", VIDEO, lambda frame: frame), ()),
    "read_frames": (lambda folder: decode.read_frames(folder / "film.mp4", [0, 5]), ()),
    "check_video": (lambda folder: decode.check_video(folder / "film.mp4"), ()),
    "frame_count": (lambda folder: decode.frame_count(folder / "film.mp4"), NOT_WALKING),
    "sampled_seconds": (lambda folder: decode.sampled_seconds(folder / "film.mp4", VIDEO), NOT_WALKING),
    "extraction": (lambda folder: extract.read_medium(folder, "film.mp4", VIDEO), ()),
    "processor": (lambda folder: frames_of(folder / "film.mp4", VIDEO, (0, 0, 0)), ()),
}
PICTURE_READERS = {
    "open_image": lambda folder: media.open_image(folder / "picture.png"),
    "extraction": lambda folder: extract.read_medium(folder, "picture.png", VIDEO),
    "processor": lambda folder: frames_of(folder / "picture.png", VIDEO, (0, 0, 0)),
}
PAIRS = [
    *((read, place) for name, (read, without) in FILM_READERS.items() for place in FILM_PLACES if place not in without),
    *((read, at_pictures) for read in PICTURE_READERS.values()),
    *((lambda folder: media.find(folder, "film.mp4"), at_the_name),),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film and a picture that nothing is wrong with."""
    made = tmp_path_factory.mktemp("media")
    write_film(made / "film.mp4", pictures(12))
    Image.fromarray(pictures(1)[0]).save(made / "picture.png")
    return made


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(media, "PAUSE", 0)


@pytest.fixture
def short(monkeypatch):
    """A machine that has no more memory and no more threads."""
    monkeypatch.setattr(faults, "is_short", lambda: True)


@pytest.mark.parametrize("place", [*FILM_PLACES, at_pictures, at_the_name], ids=lambda place: place.__name__)
def test_no_fault_of_the_machine_is_one_of_the_medium(place, folder, short, monkeypatch):
    readers = [read for read, own in PAIRS if own is place]
    assert readers
    for make in [*OF_FFMPEG.values(), *OF_PYTHON.values()]:
        with monkeypatch.context() as patched:
            place(patched, make)
            for read in readers:
                with pytest.raises(MachineError) as error:
                    read(folder)
                assert "start again" in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize("place", [*FILM_PLACES, at_pictures, at_the_name], ids=lambda place: place.__name__)
def test_every_other_fault_is_one_of_the_medium(place, folder, monkeypatch):
    for make in OF_THE_FILE.values():
        with monkeypatch.context() as patched:
            place(patched, make)
            for read in [read for read, own in PAIRS if own is place]:
                with pytest.raises(MediumError):
                    read(folder)


@pytest.mark.parametrize("make", [lambda: _ffmpeg(errno.ENOMEM), lambda: _ffmpeg(errno.EAGAIN), MemoryError])
def test_a_file_that_asks_for_too_much_of_a_machine_that_has_enough_is_a_bad_file(make, folder, monkeypatch):
    monkeypatch.setattr(faults, "is_short", lambda: False)
    at_decoding(monkeypatch, make)
    with pytest.raises(MediumError, match="broken"):
        FILM_READERS["sample"][0](folder)


def test_a_file_is_read_again_where_the_machine_may_have_been_busy(folder, monkeypatch):
    real, failures = packets.av.open, [_ffmpeg(errno.EAGAIN)]
    monkeypatch.setattr(packets.av, "open", lambda *a, **k: _raise(failures.pop()) if failures else real(*a, **k))
    assert len(FILM_READERS["sample"][0](folder).frames) == 3 and not failures


def test_nothing_that_goes_on_after_a_bad_medium_goes_on_without_a_machine(folder, short, monkeypatch):
    """Coverage, subtitles and extraction pass over a bad medium, by which a fault of the machine would be published."""
    at_opening(monkeypatch, lambda: _ffmpeg(errno.EMFILE))
    for read in (
        lambda: examine(folder, "film.mp4"),
        lambda: frame_times(folder / "film.mp4", VIDEO),
        lambda: list(extract.read_media(folder, ["film.mp4"], VIDEO)),
    ):
        with pytest.raises(MachineError, match="ulimit -n"):
            read()


def test_a_foreign_model_is_not_asked_without_a_film_that_is_there(folder, short, monkeypatch):
    from dynfocus.evaluation.answerers.base import FORMS, VideoProblem
    from dynfocus.evaluation.answerers.foreign import ForeignAnswerer
    from dynfocus.evaluation.benchmarks import benchmark
    from dynfocus.evaluation.questions import Question

    answerer = ForeignAnswerer.__new__(ForeignAnswerer)
    answerer._form, answerer._data_dir = FORMS["video_llava"], folder.parent
    monkeypatch.setattr(type(benchmark("msvd_qa")), "data_set", folder.name, raising=False)
    question = Question.__new__(Question)
    for name, value in {"benchmark": "msvd_qa", "video": "film.mp4"}.items():
        object.__setattr__(question, name, value)
    with monkeypatch.context() as patched:
        at_decoding(patched, lambda: _ffmpeg(errno.ENOMEM))
        with pytest.raises(MachineError):
            answerer.load(question)
    at_decoding(monkeypatch, OF_THE_FILE["broken"])
    with pytest.raises(VideoProblem):
        answerer.load(question)


def test_no_more_open_files_is_told_as_such(folder):
    """The real thing: every file that this process may open is open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    decode.frame_count(folder / "film.mp4")
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for read in (FILM_READERS["sample"][0], PICTURE_READERS["open_image"], FILM_READERS["extraction"][0]):
            with pytest.raises(MachineError, match=r"(?i)too many open files; raise the limit"):
                read(folder)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(FILM_READERS["sample"][0](folder).frames) == 3


def test_no_more_memory_is_told_as_such(folder):
    """The real thing: a process that may take no more memory than it has."""
    program = f"""
        import resource
        from pathlib import Path
        from dynfocus.config.schema import Video
        from dynfocus.errors import MachineError
        from dynfocus.features import decode, media
        path = Path({str(folder / "film.mp4")!r})
        decode.frame_count(path)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
        try:
            decode.sample(path, Video(fps=4.0), lambda frame: bytearray(1 << 22))
        except MachineError as error:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print("told:", error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.stdout.startswith("told: ") and "hardware.threads" in done.stdout, done.stderr


# Output


class FullDisk:
    """A file on a disk that takes nothing more."""

    def __init__(self, inner, number: int):
        self._inner, self._number = inner, number

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def write(self, _):
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_shard_whose_disk_gives_out_names_its_file_and_is_continued(tmp_path, number):
    import torch

    features, frames = torch.ones(1, 4, 8), torch.tensor([0])
    writer = store.ShardWriter(tmp_path / "a.safetensors", ["1", "2"], "same")
    writer.add("1", features, frames)
    writer._data = FullDisk(writer._data, number)
    with pytest.raises(UserError, match=r"a\.partial: cannot be written"):
        writer.add("2", features, frames)
    writer.close()
    again = store.ShardWriter(tmp_path / "a.safetensors", ["1", "2"], "same")
    assert again.finished == {"1"}
    again.add("2", features, frames)
    again.finish()
    assert sorted(store.FeatureStore(tmp_path).ids()) == ["1", "2"]


@pytest.mark.parametrize("make", [*OF_PYTHON.values(), lambda: OSError(errno.EIO, "Input/output error", "out.bin")])
def test_a_command_ends_with_one_line(make, monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: _raise(make()))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("dynfocus: ") and said.count("\n") == 1 and "start again" in said


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: _raise(RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        cli.main()
