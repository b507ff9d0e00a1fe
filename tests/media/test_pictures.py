"""Pictures as they are meant to be seen: turned by EXIF, of more than 8 bits, in CMYK, transparent."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dynfocus.errors import MediumError
from dynfocus.features.media import open_image

RED, GREEN = (255, 0, 0), (0, 255, 0)


def two_halves(width: int = 40, height: int = 20) -> Image.Image:
    """A picture that is red on the left and green on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(orientation, tmp_path):
    kept = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = two_halves()
    image.paste((0, 0, 255), (0, 0, 10, 10))
    image.save(tmp_path / "picture.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "picture.png")), kept(np.asarray(image)))


def test_a_photograph_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    two_halves().save(tmp_path / "photo.jpg", exif=exif, quality=95, subsampling=0)
    seen = np.asarray(open_image(tmp_path / "photo.jpg"))
    assert seen.shape == (40, 20, 3) and seen[2, 10, 0] > 240 and seen[-3, 10, 1] > 240


def test_16_bits_are_scaled_and_not_cut(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, 0)
    for suffix in ("png", "tif"):
        path = tmp_path / f"ramp.{suffix}"
        Image.fromarray(ramp).save(path)
        seen = np.asarray(open_image(path))
        assert seen.shape == (8, 256, 3)
        np.testing.assert_allclose(seen[0, :, 1], np.arange(256), atol=1)


def test_floats_are_scaled(tmp_path):
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, 0)).save(tmp_path / "ramp.tif")
    np.testing.assert_allclose(np.asarray(open_image(tmp_path / "ramp.tif"))[0, :, 0], np.arange(256), atol=1)


def test_cmyk_has_the_colours_of_its_inks(tmp_path):
    inks = Image.new("CMYK", (32, 16), (0, 255, 255, 0))
    inks.paste((255, 0, 255, 0), (16, 0, 32, 16))
    inks.save(tmp_path / "print.jpg", quality=100, subsampling=0)
    with Image.open(tmp_path / "print.jpg") as stored:
        assert stored.mode == "CMYK"
    seen = np.asarray(open_image(tmp_path / "print.jpg")).astype(int)
    np.testing.assert_allclose(seen[8, 4], RED, atol=8)
    np.testing.assert_allclose(seen[8, 28], GREEN, atol=8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_white(mode, tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    image.convert(mode).save(tmp_path / "sign.png")
    seen = np.asarray(open_image(tmp_path / "sign.png"))
    assert (seen[:, :4] == 0).all() and (seen[:, 4:] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_mode_comes_out_in_rgb(mode, tmp_path):
    Image.new(mode, (8, 8)).save(tmp_path / "picture.png")
    assert open_image(tmp_path / "picture.png").mode == "RGB"


def test_a_broken_picture_is_a_fault_of_that_picture(tmp_path):
    path = tmp_path / "picture.jpg"
    two_halves(400, 300).save(path)
    content = path.read_bytes()
    for kept in (b"", content[:3], content[:100], content[: len(content) // 2], b"GIF89a" + content[6:]):
        path.write_bytes(kept)
        with pytest.raises(MediumError) as error:
            open_image(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_broken_orientation_is_no_orientation(tmp_path):
    path = tmp_path / "picture.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    two_halves().save(path, exif=exif)
    content = bytearray(path.read_bytes())
    place = content.index(b"Exif\0\0") + 6
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    assert open_image(path).size == (40, 20)
