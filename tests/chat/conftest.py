"""A toy checkpoint with its visual encoder, a film, and a server around them."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))

import toy_models

FRAMES, RATE = 24, 2


@pytest.fixture(scope="session")
def film_file(tmp_path_factory) -> Path:
    """Twelve seconds at two frames a second; every frame has its own grey, and a white square that wanders."""
    path = tmp_path_factory.mktemp("film") / "wandering.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            picture = np.full((64, 64, 3), 10 * number, dtype=np.uint8)
            picture[8:24, 2 * number : 2 * number + 16] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Checkpoint and visual encoder with random weights that fit each other."""
    root = tmp_path_factory.mktemp("toy")
    toy_models.own_model(root / "model")
    toy_models.clip(root / "clip")
    return root / "model", root / "clip"


@pytest.fixture(scope="session")
def chat_config():
    from dynfocus.config import load_config

    config = load_config([Path("config/mini.yaml")], ["video.fps=1", "evaluation.max_new_tokens=6"])
    return config.model_copy(update={"video": config.video.model_copy(update={"image_size": 16})})


@pytest.fixture(scope="session")
def chat_model(folders, chat_config):
    from dynfocus.chat.model import ChatModel

    return ChatModel(*folders, chat_config)


@pytest.fixture(scope="session")
def chat(chat_model, film_file, tmp_path_factory):
    """What the page shows: two columns of one toy model, and one example."""
    page = pytest.importorskip("dynfocus.chat.page")
    example = page.Example(film_file, {"What moves?": "a square", "Where is it?": ""})
    return page.Chat({"one": chat_model, "two": chat_model}, [example], "a toy", tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="session")
def server(chat):
    """(host, port) of the running page; NiceGUI serves one in a process."""
    from dynfocus.chat.page import server_of

    running = server_of(chat, "127.0.0.1", 0)
    listening = running.config.bind_socket()
    thread = Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        thread.join(0.1)
    yield listening.getsockname()
    running.should_exit = True
    thread.join(20)
