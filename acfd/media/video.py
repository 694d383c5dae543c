"""Decode and encode video by PyAV, one thread a call (the study's parallelism is over videos), RGB
uint8 in and out."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from platform import machine
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from acfd.paths import atomic

# Endings of files that are taken for one or the other, wherever folders are searched.
IMAGES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2")
)
VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
        *(".wmv", ".flv", ".3gp", ".ogv", ".gif", ".vob", ".mxf"),
    )
)

# FFmpeg knows many more, among them lists of other files, which it would open.
_DEMUXERS = (
    "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,gif,mxf,h264,hevc,av1,obu,ivf,dv,mjpeg,webp,"
    "yuv4mpegpipe,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,j2k_pipe"
)

# Options for libx264. Its AVX-512 code looks at memory beside the picture, so that the same frames
# gave other bytes at each call. What SSE4.2 costs: about 6 % of an encoding against AVX2.
REPEATABLE = {"x264-params": "asm=sse4.2"} if machine() in ("x86_64", "AMD64") else {}
# FaceForensics++'s c0, for `write_video`: the very pixels come back
LOSSLESS = {"codec": "libx264rgb", "crf": 0, "pix_fmt": "rgb24", "preset": "ultrafast"}


PIXELS = 2**27  # of a picture, at most, in `acfd detect`; see acfd/__init__.py


class VideoError(ValueError):
    """A video that cannot be used; the message names the file and says what was found."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds; `frames` is counted by reading it through."""

    path: Path
    frames: int
    width: int  # pixels, as stored: a phone's video may be turned when it is shown
    height: int
    fps: float
    codec: str
    pix_fmt: str


def open_container(path: Path) -> av.container.InputContainer:
    """A video or image opened for reading; any other kind of file raises av.FFmpegError."""
    # without "file:" the name 10:30.mp4 would be one of a protocol
    known = {"format_whitelist": _DEMUXERS}
    return av.open(f"file:{path}", metadata_errors="ignore", options=known)


def too_large(path: Path) -> str:
    """What is wrong with an image of more than PIXELS pixels, by its header; "" for any other."""
    from PIL import Image

    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # nothing is decoded here
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (OSError, ValueError, SyntaxError):
        return ""
    finally:
        Image.MAX_IMAGE_PIXELS = most
    said = f"{path}: the image is {width} x {height}, at most {PIXELS} pixels can be read"
    return f"{said}: scale it down" if width * height > PIXELS else ""


@contextmanager
def _open(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    if not path.is_file():
        raise VideoError(f"{path}: no such video file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); download or make it again")
    try:
        container = open_container(path)
    except av.FFmpegError as error:
        do = "it may be cut short, download or make it again"
        do = "you may not read it" if isinstance(error, PermissionError) else do
        raise VideoError(
            f"{path}: not a readable video ({error.strerror}; {path.stat().st_size} bytes); {do}"
        ) from None
    with container:
        if not container.streams.video:
            raise VideoError(
                f"{path}: the file has no video stream; it is no video, or its end is missing"
            )
        stream = container.streams.video[0]
        if not stream.width and (why := too_large(path)):
            raise VideoError(why)
        yield container, stream


def probe(path: Path | str) -> VideoInfo:
    """Read a file's packets through, without decoding them. Raises VideoError if it is missing,
    empty, no video, without a frame, or cut short: has fewer than its header promises."""
    path = Path(path)
    with _open(path) as (container, stream):
        count, expected = 0, max(promised(stream), 1)
        with suppress(av.FFmpegError):  # what follows cannot be read; the frames before it count
            for packet in container.demux(stream):
                count += packet.size > 0 and not (packet.is_corrupt or packet.is_discard)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        of = stream.codec_context
        info = VideoInfo(path, count, of.width, of.height, rate, of.name, of.pix_fmt)
    if count < expected:
        raise VideoError(
            f"{path}: the video is cut short or damaged: {count} frames of {expected} can be read; "
            "download or make it again"
        )
    return info


def promised(stream: av.VideoStream) -> int:
    """Frames that a stream will give by its header; 0: it does not say. An MP4 that was trimmed
    without coding it again holds more: by its edit list, packets before the key frame in front of
    the cut are passed over, and those up to the cut are decoded but not shown."""
    if stream.frames and "mp4" in stream.container.format.name.split(","):
        return sum(not entry.is_discard for entry in stream.index_entries)
    return stream.frames


def read_frames(
    path: Path | str, indices: Iterable[int] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, frame) in order of time; frame: H x W x 3 RGB uint8, turned as the file says.
    indices: the frames wanted, counted from 0, in any order; None: all. Raises VideoError, after
    the frames that could be had, if the video ends or is broken before the last frame wanted (with
    None: before the frame count that its header promises)."""
    path = Path(path)
    wanted = None if indices is None else set(indices)
    if wanted == set():
        return
    with _open(path) as (container, stream):
        expected = promised(stream) if wanted is None else max(wanted) + 1
        count, why = 0, ""
        try:
            for frame in _decoded(container, stream):
                if wanted is None or count in wanted:
                    yield count, turned(frame.to_ndarray(format="rgb24"), frame.rotation)
                count += 1
                if wanted and count == expected:
                    return
        except _DamageError as error:
            why = f" ({error})"
        if why or count < expected:
            raise VideoError(
                f"{path}: {count} frames could be decoded, {max(expected, count + 1)} were "
                f"expected{why}; the video is cut short or damaged, download or make it again"
            )


def turned(picture: np.ndarray, rotation: float) -> np.ndarray:
    """The picture turned counter-clockwise by the quarter turns nearest to `rotation` degrees."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


class _DamageError(Exception):
    """What is wrong with a stream."""


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Frames of a stream until its end, or until the first damage raises _DamageError."""
    stream.thread_count = 1
    # a decoder that conceals damage would hand over invented pixels
    stream.codec_context.options = {"err_detect": "explode"}
    seen, expected = 0, promised(stream)
    try:
        for packet in container.demux(stream):
            # Where packets are missing, the decoder is not flushed: it would give up a frame that
            # belongs behind the missing ones, under a wrong number.
            if packet.is_corrupt or (packet.size == 0 and seen < expected):
                what = "a packet is incomplete" if packet.size else "packets are missing"
                raise _DamageError(what)
            seen += packet.size > 0 and not packet.is_discard
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise _DamageError("a frame is damaged")
                yield frame
    except av.FFmpegError as error:
        raise _DamageError(error.strerror) from None


def write_video(
    path: Path | str,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    codec: str = "libx264",
    crf: int,
    pix_fmt: str = "yuv444p",
    preset: str = "medium",
    options: dict[str, str] | None = None,
) -> None:
    """Encode frames (each H x W x 3 RGB or H x W grey, uint8) to an .mp4, whole or not at all. The
    same frames give the same bytes: one thread, repeatable code, no time stamps of making.
    FaceForensics++'s c23 and c40 are the defaults with crf 23 and 40; its c0 is **LOSSLESS.
    options: of the encoder. Raises ValueError for no frames, VideoError for unlike sizes."""
    path, size = Path(path), None
    said = {"crf": str(crf), "preset": preset}
    said |= (REPEATABLE if codec.startswith("libx264") else {}) | (options or {})
    # a file object, so that a full disk arrives as the OSError it is
    with (
        atomic(path) as temporary,
        temporary.open("wb") as file,
        av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        slowest = Fraction(1, 1001)  # what is slower would be rounded to none
        rate = max(Fraction(fps).limit_denominator(1001), slowest)
        for n, frame in enumerate(frames):
            if size is None:
                size = frame.shape[:2]
                stream = container.add_stream(codec, rate=rate, options=said)
                stream.height, stream.width = size
                stream.pix_fmt = pix_fmt
                stream.thread_count = 1
                stream.codec_context.time_base = 1 / rate
            elif frame.shape[:2] != size:
                raise VideoError(f"{path}: frame {n} is {frame.shape[:2]}, the first was {size}")
            if frame.ndim == 2:
                frame = np.repeat(frame[:, :, None], 3, axis=2)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts = n
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        if size is None:
            raise ValueError(f"{path}: no frames to write")
        container.mux(stream.encode())


def recoded(frames: Iterable[np.ndarray], fps: float, **how) -> list[np.ndarray]:
    """Frames through `write_video` (how: its options) and back."""
    with TemporaryDirectory(prefix="acfd") as folder:
        write_video(Path(folder, "clip.mp4"), frames, fps, **how)
        return [frame for _, frame in read_frames(Path(folder, "clip.mp4"))]


def h264(frames: list[np.ndarray], crfs: tuple[int, ...], pix_fmt: str) -> list[np.ndarray]:
    """The last of some frames (H x W x 3 uint8 RGB, of one shape) after libx264 in memory, once for
    each CRF. Odd sides, which yuv420p does not have, are padded meanwhile."""
    height, width = frames[0].shape[:2]
    pad = (0, height % 2, 0, width % 2)
    shown = []
    for n, frame in enumerate(frames):
        if any(pad):
            frame = cv2.copyMakeBorder(frame, *pad, cv2.BORDER_REPLICATE)
        shown.append(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt))
        shown[-1].pts = n
    made = []
    for crf in crfs:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.height, encoder.width, encoder.pix_fmt = height + pad[1], width + pad[3], pix_fmt
        encoder.framerate, encoder.thread_count = 25, 1
        encoder.options = {"crf": str(crf), "preset": "veryfast"} | REPEATABLE
        packets = [packet for frame in [*shown, None] for packet in encoder.encode(frame)]
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        last = [frame for packet in [*packets, None] for frame in decoder.decode(packet)][-1]
        made.append(last.to_ndarray(format="rgb24")[:height, :width])
    return made


def still(picture: np.ndarray, codec: str, quality: int) -> np.ndarray:
    """A picture (H x W x 3 uint8 RGB) after ".jpg" or ".webp" of a quality, 1 to 100."""
    key = cv2.IMWRITE_JPEG_QUALITY if codec == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    packed = cv2.imencode(codec, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [key, quality])[1]
    return cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB)
