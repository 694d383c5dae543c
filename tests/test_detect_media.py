"""Files of every kind and state: what they are said to hold, and which frames come out."""

import re
import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from acfd.detector.media import Frames, MediaError, choose, find, look
from acfd.faces.crops import choose_frames
from acfd.media.video import VideoError, probe, read_frames, write_video


def clip(frames=20, width=64, height=48):
    """The frame's number in the brightness of the left half, a bright corner top right."""
    for n in range(frames):
        picture = np.full((height, width, 3), 40, np.uint8)
        picture[:, : width // 2] = 10 * n
        picture[: height // 3, -width // 3 :] = (250, 40, 40)
        yield picture


def number(picture) -> int:
    return round(picture[20:40, 4:24].mean() / 10)


def write(path, frames, stamps, rotation=0, aspect=1, **options):
    """Frames at time stamps of 1/1000 s, with a display rotation and pixels `aspect` times as wide
    as high; key frames every 5."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5", "sc_threshold": "0"})
        stream.height, stream.width = next(iter(frames)).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if rotation:
            stream.set_display_rotation(rotation)
        for picture, stamp in zip(frames, stamps):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def steady(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 25.0, crf=10, options={"g": "5"})
    return tmp_path / "a.mp4"


def test_what_a_plain_video_holds(steady):
    found = look(steady)
    assert (found.kind, found.codec, found.width, found.height) == ("video", "h264", 64, 48)
    assert (found.frames, found.rotation, found.damage) == (20, 0, "")
    assert found.duration == pytest.approx(0.8) and found.fps == pytest.approx(25)
    assert not found.variable_rate and not found.hdr
    for wanted in (1, 3, 7, 19, 20, 50):
        assert choose(found, wanted) == choose_frames(20, wanted, "even")
    assert choose(found, 0) == list(range(20))
    # the stream is most of the file: its header and index are not counted
    bits = 8 * steady.stat().st_size / (20 * 64 * 48)
    assert 0.3 * bits < found.bits_per_pixel < bits


def test_at_a_variable_rate_frames_are_chosen_by_time(tmp_path):
    stamps = [*range(0, 400, 40), *range(400, 4400, 400)]  # ten in 0.4 s, ten in 4 s
    write(tmp_path / "phone.mp4", list(clip()), stamps)
    found = look(tmp_path / "phone.mp4")
    assert found.variable_rate
    assert found.times == pytest.approx(np.array(stamps) / 1000, abs=1e-3)
    chosen = choose(found, 4)
    middles = (np.arange(4) + 0.5) * found.duration / 4
    shown = [max(i for i, t in enumerate(found.times) if t <= m) for m in middles]
    assert chosen == shown and chosen[0] >= 9  # by number it would be the third
    assert [number(picture) for _, picture in Frames(found, chosen)] == chosen


@pytest.mark.parametrize("chosen", [[3, 4, 13], list(range(20)), [6, 19]])
def test_seeking_gives_the_frames_that_reading_through_gives(steady, chosen):
    found = look(steady)
    assert len(found.keys) >= 4
    frames = Frames(found, chosen)
    got = list(frames)
    assert [i for i, _ in got] == chosen == [number(p) for _, p in got]
    assert frames.lost == 0
    through = Frames(found, chosen)
    through._keys = ()
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(got, through, strict=True))


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_phone_held_upright_gives_upright_frames(tmp_path, rotation):
    """Stored turned, with the turn in the file: out comes what was filmed."""
    upright = list(clip(4, 48, 64))
    stored = [np.ascontiguousarray(np.rot90(p, -rotation // 90)) for p in upright]
    write(tmp_path / "phone.mp4", stored, range(0, 160, 40), rotation)
    found = look(tmp_path / "phone.mp4")
    assert (found.width, found.height) == (48, 64)
    assert found.rotation % 360 == rotation % 360
    for (_, picture), expected in zip(Frames(found, [0, 1, 2, 3]), upright, strict=True):
        assert np.abs(picture.astype(int) - expected).mean() < 6
    # and so it does in a data set
    pairs = zip(read_frames(tmp_path / "phone.mp4"), Frames(found, [0, 1, 2, 3]), strict=True)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def test_pixels_that_are_not_square_are_made_so_but_for_absurd_ones(tmp_path):
    write(tmp_path / "dvd.mkv", list(clip(3)), range(0, 120, 40), aspect="3/2")
    found = look(tmp_path / "dvd.mkv")
    assert (found.width, found.height) == (96, 48)
    assert next(iter(Frames(found, [1])))[1].shape == (48, 96, 3)
    write(tmp_path / "wide.mp4", list(clip(2, 64, 3008)), [0, 40], aspect=3000)
    with pytest.raises(MediaError, match=r"wide\.mp4: its frames are shown at 192000 x 3008"):
        look(tmp_path / "wide.mp4")


def test_files_that_are_nothing_are_named_with_what_was_found(tmp_path, steady):
    letter, rng = b"dear all\n" * 200, np.random.default_rng(0)
    _, picture = cv2.imencode(".jpg", rng.integers(0, 255, (200, 200, 3), np.uint8))
    for name, data, said in [
        ("empty.mp4", b"", r"the file is empty \(0 bytes\)"),
        ("letter.mp4", letter, "neither an image nor a video .*1800 bytes"),
        ("letter.jpg", letter, r"the image cannot be decoded \(1800 bytes"),
        ("cut.jpg", picture[: len(picture) * 9 // 10].tobytes(), ".*cut short or damaged"),
        ("list.mp4", b"ffconcat version 1.0\nfile a.mp4\n", "neither"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match=f"{name}: {said}"):
            look(tmp_path / name)
    with pytest.raises(MediaError, match="no such file"):
        look(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match=r"list\.mp4: not a readable video"):
        probe(tmp_path / "list.mp4")


def test_a_video_without_its_end_is_used_as_far_as_it_goes(tmp_path):
    path = tmp_path / "cut.mp4"
    write(path, list(clip()), range(0, 800, 40), movflags="faststart")
    whole = path.read_bytes()
    at = next(p for p in _packets(path) if p[0] == 12)[1]
    path.write_bytes(whole[:at])
    found = look(path)
    assert found.frames < 20 and found.damage
    frames = Frames(found, list(range(found.frames)))
    assert [number(picture) for _, picture in frames][:10] == list(range(10))


def _packets(path):
    with av.open(str(path)) as container:
        return [(n, p.pos) for n, p in enumerate(container.demux(video=0)) if p.size]


def test_over_a_damaged_part_it_goes_on_at_the_next_key_frame(tmp_path):
    path = tmp_path / "scratched.mp4"
    write(path, list(clip()), range(0, 800, 40), movflags="faststart")
    raw = bytearray(path.read_bytes())
    first, last = (p for n, p in _packets(path) if n in (5, 8))
    raw[first + 8 : last] = bytes(last - first - 8)
    path.write_bytes(raw)
    found = look(path)
    frames = Frames(found, list(range(20)))
    got = [(i, number(picture)) for i, picture in frames]
    assert frames.lost == 20 - len(got) and 0 < frames.lost < 12
    assert "damaged" in frames.why
    # every frame that came out is the one that it is said to be: nothing was concealed
    assert all(i == n for i, n in got)
    assert got[-1][0] == 19


def test_images_are_turned_by_their_exif_and_may_have_any_name(tmp_path):
    upright = next(clip(1, 48, 64))
    stored = np.rot90(upright)  # EXIF 6: to be turned by 90 degrees clockwise
    _, data = cv2.imencode(".jpg", cv2.cvtColor(stored, cv2.COLOR_RGB2BGR))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2].tobytes() + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path = tmp_path / "Фото 写真 ü.jpg"
    path.write_bytes(turned + data[2:].tobytes())
    found = look(path)
    assert (found.kind, found.width, found.height, found.frames) == ("image", 48, 64, 1)
    assert found.duration == 0 and found.fps == 0 and choose(found, 32) == [0]
    ((index, picture),) = Frames(found, [0])
    assert index == 0 and np.abs(picture.astype(int) - upright).mean() < 8
    ((_, of_set),) = read_frames(path)
    assert of_set.shape == (64, 48, 3) and np.abs(of_set.astype(int) - upright).mean() < 8


def bomb(path, side: int) -> None:
    """A PNG whose header promises side x side pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IEND", b"")]
    chunks.insert(1, (b"IDAT", zlib.compress(b"")))
    data = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_a_picture_of_gigabytes_is_refused_before_it_is_made(tmp_path):
    said = r"large\.png: the image is {0} x {0}, at most 134217728 pixels can be read: scale it"
    bomb(tmp_path / "large.png", 20000)
    code = f"from acfd.detector.media import look; look({str(tmp_path / 'large.png')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert re.search("MediaError: .*" + said.format(20000), done.stderr)
    bomb(tmp_path / "large.png", 40000)
    for read in (look, probe, read_frames):  # the last two: in a data set
        with pytest.raises((MediaError, VideoError), match=said.format(40000)):
            next(iter(read(tmp_path / "large.png")))


def test_folders_give_their_media_in_order_and_nothing_else(tmp_path, steady):
    names = ["b.MP4", "a.jpg", "deep/er/c.png", ".hidden.mp4", "notes.txt", "a.jpg.overlay.png"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    found = [p.relative_to(tmp_path / "in").as_posix() for p in find(tmp_path / "in")]
    assert found == ["a.jpg", "b.MP4", "deep/er/c.png"]
    assert find(steady) == [steady]
    (tmp_path / "void").mkdir()
    with pytest.raises(MediaError, match="void: no image or video"):
        find(tmp_path / "void")
