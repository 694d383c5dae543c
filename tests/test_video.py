import struct

import av
import cv2
import numpy as np
import pytest
from conftest import contents, remux

from acfd.detector.media import look
from acfd.media.video import LOSSLESS, VideoError, probe, read_frames, write_video


def clip(frames=12, width=65, height=49, colour=True):
    """Smooth pictures that move, with the frame's number in the brightness of a corner."""
    y, x = np.mgrid[:height, :width]
    for n in range(frames):
        wave = 127 + 90 * np.sin((x + 3 * n) / 9) * np.cos(y / 7)
        picture = np.stack([wave, wave[::-1], wave[:, ::-1]], -1) if colour else wave
        picture[:16, :16] = 20 * n
        yield picture.astype(np.uint8)


def number(picture):
    return round(picture[2:14, 2:14].mean() / 20)


@pytest.fixture
def good(tmp_path):
    write_video(tmp_path / "good.mp4", clip(), 25.0, crf=10)
    return tmp_path / "good.mp4"


@pytest.mark.parametrize("colour", [True, False])
def test_lossless_gives_the_very_pixels_back_at_an_odd_size(tmp_path, colour):
    write_video(tmp_path / "raw.mp4", clip(colour=colour), 25.0, **LOSSLESS)
    frames = zip(read_frames(tmp_path / "raw.mp4"), clip(colour=colour), strict=True)
    for (i, found), expected in frames:
        assert np.array_equal(found, expected if colour else np.dstack([expected] * 3)), i


def test_probe_says_what_was_written(good):
    info = probe(good)
    assert (info.frames, info.width, info.height) == (12, 65, 49)
    assert (info.fps, info.codec, info.pix_fmt, info.path) == (25.0, "h264", "yuv444p", good)
    remux(good, good.with_suffix(".mkv"))  # whose header promises no number
    assert probe(good.with_suffix(".mkv")).frames == 12
    assert b"Lavf" not in good.read_bytes()  # another release of the muxer would write another
    write_video(good, clip(), 30000 / 1001, crf=23)
    assert probe(good).fps == pytest.approx(30000 / 1001)
    write_video(good, clip(2), 1e-4, crf=23)  # a slide show
    assert probe(good).fps == pytest.approx(1 / 1001) and len(list(read_frames(good))) == 2


def test_same_frames_same_bytes_whatever_lies_in_memory_beside_them(tmp_path):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 20, 20, 3), np.uint8)
    frames = [cv2.resize(f, (320, 320), interpolation=cv2.INTER_CUBIC) for f in small]
    found = set()
    for n in range(6):
        beside = [rng.integers(0, 256, rng.integers(1, 10**6), np.uint8) for _ in range(5)]
        moved = [frame.copy() for frame in frames]
        del beside  # memory that is not zero, for the encoder to take
        write_video(tmp_path / f"{n}.mp4", moved, 25.0, crf=40)
        found.add((tmp_path / f"{n}.mp4").read_bytes())
    assert len(found) == 1


def test_only_the_frames_asked_for_in_order_of_time(good):
    found = list(read_frames(good, [7, 1, 10, 1]))
    assert [i for i, _ in found] == [1, 7, 10]
    assert [number(picture) for _, picture in found] == [1, 7, 10]
    assert list(read_frames(good, [])) == []


def test_frames_beyond_the_end_are_an_error_with_the_count(good):
    frames = read_frames(good, [3, 99])
    assert next(frames)[0] == 3
    with pytest.raises(VideoError, match=r"good.mp4: 12 frames could be decoded, 100 were exp"):
        next(frames)


def test_a_file_with_sound_alone_has_no_video_stream(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match=r"sound.mp4: the file has no video stream"):
        probe(path)


def test_cut_between_two_packets_gives_no_frame_under_a_wrong_number(tmp_path, good):
    """With B-frames, a decoder that is told to finish hands over frames from behind the cut."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    remux(good, whole, movflags="faststart")
    with av.open(str(whole)) as container:
        ends = [p.pos + p.size for p in container.demux(video=0) if p.size]
    assert len(ends) == 12
    for n, end in enumerate(ends[:-1]):
        cut.write_bytes(whole.read_bytes()[:end])
        with pytest.raises(VideoError, match=rf"cut.mp4: .* cut short .* {n + 1} frames of 12"):
            probe(cut)
        with pytest.raises(VideoError, match=r"cut.mp4: \d+ frames could be decoded"):
            for i, picture in read_frames(cut):
                assert number(picture) == i


@pytest.mark.parametrize(("first", "last"), [(5, 12), (0, 7), (5, 9), (9, 12)])
@pytest.mark.parametrize("group", [12, 4])  # frames from key to key
def test_a_video_trimmed_by_its_edit_list_is_whole(tmp_path, group, first, last):
    """As phones trim: packets stay, and the list (ISO/IEC 14496-12, 8.6.6) says what to show."""
    path = tmp_path / "trimmed.mp4"
    write_video(path, clip(), 25.0, crf=10, options={"g": str(group)})
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12  # duration in ms, and the first moment in ticks
    (start,) = struct.unpack_from(">i", data, at + 4)
    struct.pack_into(">Ii", data, at, 40 * (last - first), start + round(first / 25 / tick))
    path.write_bytes(data)
    assert probe(path).frames == last - first
    assert [number(frame) for _, frame in read_frames(path)] == list(range(first, last))
    assert look(path).frames == last - first and not look(path).damage


def test_damage_inside_is_an_error_and_not_a_concealed_frame(tmp_path, good):
    """H.264 has no checksum, so a few wrong frames pass, but not the many that a player shows."""
    expected = [picture for _, picture in read_frames(good)]
    broken, rng = tmp_path / "broken.mp4", np.random.default_rng(0)
    raised = wrong = 0
    for _ in range(150):
        data = np.frombuffer(good.read_bytes(), np.uint8).copy()
        start = rng.integers(900, int(0.85 * len(data)))
        data[start : start + rng.integers(1, 30)] ^= 0x5A
        broken.write_bytes(data.tobytes())
        try:
            for i, picture in read_frames(broken):
                wrong += not np.array_equal(picture, expected[i])
        except VideoError as error:
            assert "broken.mp4: " in str(error) and "frames could be decoded" in str(error)
            raised += 1
    assert raised > 140
    assert wrong < 20


def test_a_video_that_could_not_be_written_leaves_the_older_one(tmp_path):
    def failing():
        yield from clip(3)
        raise RuntimeError("camera broke")

    (tmp_path / "a.mp4").write_bytes(b"an older video")
    with pytest.raises(RuntimeError, match="camera broke"):
        write_video(tmp_path / "a.mp4", failing(), 25.0, crf=23)
    with pytest.raises(ValueError, match=r"a.mp4: no frames to write"):
        write_video(tmp_path / "a.mp4", [], 25.0, crf=23)
    unlike = [np.zeros((48, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"frame 1 is \(32, 64\), the first was \(48, 64\)"):
        write_video(tmp_path / "a.mp4", unlike, 25.0, crf=23)
    assert contents(tmp_path) == {"a.mp4": b"an older video"}
