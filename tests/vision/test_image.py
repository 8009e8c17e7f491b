"""Pictures of every kind become the same RGB; what is no picture becomes a DataError."""

import io
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import GifImagePlugin, Image

from mien.errors import DataError
from mien.vision.colour import BACKGROUND
from mien.vision.image import decode, load_image
from mien.vision.reading import Limits

ROOT = Path(__file__).parents[2]
UPRIGHT = {  # what an encoder does to the picture before it writes the orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def drawn(height: int = 64, width: int = 48) -> np.ndarray:
    """A gray picture, smooth enough for lossy formats, alike in no mirror."""
    y, x = np.mgrid[0:height, 0:width]
    return (40 + 150 * x / width + 60 * (y / height) ** 2).astype(np.uint8)


def in_colour(height: int = 64, width: int = 48) -> np.ndarray:
    gray = drawn(height, width)
    return np.stack([gray, 255 - gray, gray // 2], axis=2)


def saved(image: Image.Image | np.ndarray, form: str = "PNG", **how: object) -> bytes:
    held = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(held, form, **how)
    return held.getvalue()


# Sources


def test_every_source_gives_the_same_pixels(tmp_path: Path) -> None:
    rgb = in_colour()
    data = saved(rgb)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        got = [load_image(file)]
    sources = (
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        rgb,
        Image.fromarray(rgb),
    )
    got += [load_image(source) for source in sources]
    assert len(got) == 9
    for pixels in got:
        assert (
            pixels.dtype == np.uint8 and pixels.flags.c_contiguous and np.array_equal(pixels, rgb)
        )
    got[1][0, 0] = 0  # a picture read from a file may be written to
    assert load_image(rgb) is rgb


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 9, np.uint8), 9),
        (np.full((2, 3, 1), 9, np.uint8), 9),
        (np.full((2, 3, 3), 65_535, np.uint16), 255),
        (np.full((2, 3), 9 * 257, np.uint16), 9),
        (np.full((2, 3), True), 255),
        (np.full((2, 3, 4), 0, np.uint8), BACKGROUND),
        (np.asfortranarray(np.full((2, 3, 3), 9, np.uint8)), 9),
    ],
)
def test_arrays(array: np.ndarray, expected: int) -> None:
    pixels = load_image(array)
    assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert np.unique(pixels).tolist() == [expected]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_arrays_whose_meaning_would_be_a_guess_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="only you know") as caught:
        load_image(array)
    assert str(array.shape) in caught.value.got


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_and_not_waited_for(tmp_path: Path) -> None:
    pipe, picture = tmp_path / "pipe.png", io.BytesIO()
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="an empty file"):
        load_image(pipe)  # nobody writes
    Image.new("RGB", (50, 40), "red").save(picture, "png")
    writer = threading.Thread(target=lambda: pipe.write_bytes(picture.getvalue()))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer need not wait for us
    writer.start()
    time.sleep(0.2)
    assert load_image(pipe).shape == (40, 50, 3)
    os.close(reader)
    writer.join()


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no")
    cases: list[tuple[object, str]] = [
        (tmp_path, "a folder"),
        (tmp_path / "none.png", "no such file"),
        ("a\0b", "cannot be read"),
        (3, "int"),
        (None, "NoneType"),
        (b"", "0 bytes"),
        (io.StringIO("text"), "yields str"),
        (tmp_path / "text.txt", "not a picture"),
    ]
    for source, got in cases:
        with pytest.raises(DataError) as caught:
            load_image(source)  # type: ignore[arg-type]
        assert got in caught.value.got
    with pytest.raises(DataError) as caught, (tmp_path / "text.txt").open() as text:
        load_image(text)  # type: ignore[arg-type]
    assert "mode 'rb'" in caught.value.fix


# Kinds (service tests 7 and 8)


def kinds() -> dict[str, bytes]:
    """The same gray ramp in every kind of file; its brightness must survive."""
    gray = drawn()
    image = Image.fromarray(gray)
    clear = image.convert("LA")
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    return {
        "L": saved(image),
        "RGB": saved(image.convert("RGB")),
        "RGBA": saved(image.convert("RGBA")),
        "LA": saved(clear),
        "P": saved(image.convert("P")),
        "I;16": saved(deep),
        "I;16 tiff": saved(deep, "TIFF"),
        "16-bit pgm": b"P5 48 64 65535\n" + (gray.astype(">u2") * 257).tobytes(),
        "CMYK jpeg": saved(image.convert("RGB").convert("CMYK"), "JPEG", quality=98),
        "CMYK tiff": saved(image.convert("RGB").convert("CMYK"), "TIFF"),
        "YCbCr": saved(image.convert("RGB").convert("YCbCr"), "TIFF"),
        "jpeg": saved(image, "JPEG", quality=98),
        "progressive": saved(image.convert("RGB"), "JPEG", quality=98, progressive=True),
        "webp": saved(image.convert("RGB"), "WEBP", lossless=True),
        "gif": saved(image, "GIF"),
        "bmp": saved(image, "BMP"),
        "lzw": saved(image, "TIFF", compression="tiff_lzw"),
        "ppm": saved(image, "PPM"),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_keeps_its_brightness(kind: str) -> None:
    pixels = load_image(kinds()[kind])
    assert pixels.shape == (64, 48, 3)
    assert np.abs(pixels.astype(int) - drawn()[:, :, None]).max() <= 4


def test_16_bit_colour_and_one_bit() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from mutate_images import png
    finally:
        sys.path.pop(0)
    rgb = in_colour()
    assert np.array_equal(load_image(png(rgb.astype(np.uint16) * 257, 2, 16)), rgb)
    assert np.array_equal(load_image(png(rgb, 2, 8, interlaced=True)), rgb)
    bits = Image.fromarray(drawn() > 150)
    assert bits.mode == "1"
    pixels = load_image(saved(bits))
    assert np.array_equal(pixels[:, :, 0], np.where(drawn() > 150, 255, 0))


def test_avif_is_read_where_pillow_can() -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pixels = load_image(saved(in_colour(), "AVIF", quality=95))
    assert np.abs(pixels.astype(int) - in_colour()).mean() < 4


def test_heic_without_its_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"extra \[heif\]"):
        load_image(b"\0\0\0\x18ftypheic" + bytes(100))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_heic_is_read_upright(orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    held = io.BytesIO()
    heif.from_pillow(Image.fromarray(in_colour())).save(held, exif=exif.tobytes(), quality=95)
    stored = Image.fromarray(in_colour())
    upright = {1: stored, 3: stored.transpose(Image.Transpose.ROTATE_180)}
    upright[6] = stored.transpose(Image.Transpose.ROTATE_270)
    pixels = load_image(held.getvalue())
    expected = np.asarray(upright[orientation])
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 4


def test_the_first_of_several_frames_is_said() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), 40 * n, np.uint8)) for n in range(4)]
    for form, note in (("GIF", "first of 4"), ("TIFF", "first of 4"), ("WEBP", "first of 4")):
        held = io.BytesIO()
        frames[0].save(held, form, save_all=True, append_images=frames[1:], duration=100)
        assert decode(held.getvalue()).note == f"{note} frames"
    held = io.BytesIO()
    frames[0].save(held, "PNG", save_all=True, append_images=frames[1:])
    assert decode(held.getvalue()).note == "first of several frames"
    assert decode(saved(in_colour(), "PNG")).note == ""


def test_the_first_of_the_pictures_in_an_mpo_is_said() -> None:
    first = Image.fromarray(in_colour())
    others = [Image.new("RGB", (48, 64), (n, 9, 9)) for n in (90, 180)]
    data = saved(first, "MPO", save_all=True, append_images=others, quality=98)
    picture = decode(data)
    assert (picture.steps, picture.note) == (("frames",), "first of 3 frames")
    assert np.abs(picture.pixels.astype(int) - in_colour()).max() <= 8
    assert np.array_equal(load_image(Image.open(io.BytesIO(data))), picture.pixels)
    entry = data.index(b"\0\0\0\0\0\0\x03\0") + 20  # of the second picture
    preview = data[:entry] + b"\1\0\1\0" + data[entry + 4 :]
    assert decode(preview).note == "first of 2 frames"
    begins = data.rindex(b"\xff\xd8\xff") + 2  # of the third
    gain_map = data[:begins] + b"\xff\xfe\0\x12hdr-gain-map/1.0" + data[begins:]
    assert decode(gain_map).note == "first of 2 frames"
    wild = data[: entry + 4] + b"\xff" * 8 + data[entry + 12 :]
    assert decode(wild).note == "first of 2 frames"
    for end in range(len(data) // 3, data.index(b"MPF\0"), -1):
        try:
            decode(data[:end])
        except DataError:
            continue


def test_transparency_lies_on_mid_gray() -> None:
    rgba = np.zeros((10, 10, 4), np.uint8)
    rgba[:, 5:] = (10, 20, 30, 255)
    rgba[:, :2] = (0, 0, 0, 128)
    for data in (saved(rgba), saved(rgba, "WEBP", lossless=True, exact=True), saved(rgba, "TIFF")):
        picture = decode(data)
        assert picture.steps == ("alpha",)
        assert picture.pixels[0, 3].tolist() == [BACKGROUND] * 3
        assert picture.pixels[0, 7].tolist() == [10, 20, 30]
        assert abs(int(picture.pixels[0, 0, 0]) - 64) <= 1
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 200, 0])
    assert load_image(saved(palette, transparency=0)).tolist() == [[[BACKGROUND] * 3, [0, 200, 0]]]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = (
        in_colour(1200, 1000) if form == "JPEG" and orientation in (1, 6, 8) else in_colour()
    )  # several strips, or one
    how = {"lossless": True} if form == "WEBP" else {"quality": 98} if form == "JPEG" else {}
    data = saved(np.ascontiguousarray(UPRIGHT[orientation](rgb)), form, exif=exif, **how)
    picture = decode(data)
    assert picture.pixels.shape == rgb.shape
    assert np.abs(picture.pixels.astype(int) - rgb).max() <= (8 if form == "JPEG" else 0)
    assert np.array_equal(load_image(Image.open(io.BytesIO(data))), picture.pixels)


def test_exif_that_cannot_be_read_counts_as_none() -> None:
    rgb = in_colour()
    for exif in (
        b"Exif\0\0" + b"II*\0\xff\xff\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12",
    ):
        assert (
            np.abs(load_image(saved(rgb, "JPEG", exif=exif, quality=98)).astype(int) - rgb).max()
            <= 8
        )


def test_of_several_frames_the_first_is_read_and_their_number_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, others = (
        Image.fromarray(in_colour()),
        [Image.new("RGB", (48, 64), (n, 9, 9)) for n in range(9)],
    )
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        picture = decode(saved(first, form, save_all=True, append_images=others))
        assert picture.steps == ("frames",)
        assert np.abs(picture.pixels.astype(int) - in_colour()).mean() < 12
    one, two = saved(first, "GIF"), saved(first, "GIF", save_all=True, append_images=others[:1])
    frame = two[two.index(b"!\xf9\x04", len(one) - 40) : -1]
    many = two[:-1] + frame * 30_000 + b";"
    decoded: list[int] = []
    seek = GifImagePlugin.GifImageFile._seek

    def counted(self: GifImagePlugin.GifImageFile, frame: int, update_image: bool = True) -> None:
        decoded.extend([frame] * update_image)
        seek(self, frame, update_image)

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "_seek", counted)
    assert decode(many).steps == ("frames",)
    assert set(decoded) <= {0, 1}


def test_pixels_whose_range_would_be_a_guess_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point"):
        load_image(saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
    with pytest.raises(DataError, match="32-bit pixels from -3 to 90,000"):
        load_image(saved(Image.fromarray(np.array([[-3, 90_000]], np.int32)), "TIFF"))


# Limits and damage (service tests 1 to 3)


def test_limits_are_checked_before_decoding(tmp_path: Path) -> None:
    data = saved(in_colour())
    path = tmp_path / "a.png"
    path.write_bytes(data)
    few = Limits(max_bytes=len(data) - 1)
    for source in (path, data, io.BytesIO(data)):
        with pytest.raises(DataError, match=f"at most {len(data) - 1:,} bytes"):
            load_image(source, limits=few)
    assert load_image(path, limits=Limits(max_bytes=len(data))).shape == (64, 48, 3)
    for source in (data, in_colour(), Image.fromarray(in_colour())):
        assert load_image(source, limits=Limits(max_pixels=64 * 48, longest_side=64)).shape == (
            64,
            48,
            3,
        )
        with pytest.raises(DataError, match="megapixels"):
            load_image(source, limits=Limits(max_pixels=64 * 48 - 1))
        with pytest.raises(DataError, match="at most 63 pixels a side"):
            load_image(source, limits=Limits(longest_side=63))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pipe that one process holds open")
def test_an_endless_pipe_is_read_up_to_the_limit(tmp_path: Path) -> None:
    pipe = tmp_path / "endless.jpg"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDWR), "wb", buffering=0) as writer:  # it does not end
        writer.write(bytes(20_000))
        with pytest.raises(DataError, match="at most 1,000 bytes"):
            load_image(pipe, limits=Limits(max_bytes=1000))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no /dev/zero here")
def test_a_device_is_refused() -> None:
    with pytest.raises(DataError, match="got a device.*name a file"):
        load_image("/dev/zero")


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_cut_off_at_every_byte(form: str) -> None:
    """An error or, where nothing but the end mark is missing, the picture."""
    data = saved(in_colour() ^ np.arange(64, dtype=np.uint8)[:, None, None], form)
    assert len(data) > 1000
    whole = 0
    for end in range(len(data)):
        try:
            whole += load_image(data[:end]).shape == (64, 48, 3)
        except DataError as error:
            assert error.where == "picture"
    assert (
        whole <= 21
    )  # a JPEG without its last bytes; a PNG without IEND (12) and the checksums of its pixels (8)


def test_ten_thousand_damaged_pictures_neither_crash_nor_hang() -> None:
    """2,000 here; `benchmarks/mutate_images.py` runs the others."""
    script = ROOT / "benchmarks" / "mutate_images.py"
    done = subprocess.run(
        [sys.executable, script, "--count=2000", "--seed=1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2000" in done.stdout


def test_threads_agree_and_pillow_is_left_as_it_was() -> None:
    import PIL.Image
    import PIL.ImageFile

    before = (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES)
    files = [data for data in kinds().values() for _ in range(4)]
    expected = [load_image(data) for data in files]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(
            n for n, data in enumerate(files) if not np.array_equal(load_image(data), expected[n])
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        wrong == [] and (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES) == before
    )


def test_large_pictures_do_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns of pictures above its own limit; warnings are errors here."""
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1_100_000)
    assert load_image(saved(Image.new("1", (1200, 1000)))).shape == (1000, 1200, 3)


@pytest.mark.parametrize(
    "raised", [OSError, SyntaxError, ValueError, MemoryError, KeyError, ZeroDivisionError, EOFError]
)
def test_whatever_a_decoder_raises_is_a_data_error(
    raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised("inside")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(DataError, match="memory" if raised is MemoryError else "corrupt picture"):
        load_image(saved(in_colour()))


def test_results_travel() -> None:
    picture = decode(saved(in_colour()))
    assert np.array_equal(pickle.loads(pickle.dumps(picture)).pixels, picture.pixels)  # noqa: S301
