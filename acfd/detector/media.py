"""Anybody's images and videos: what a file holds, which of its frames to take, and those frames.

Unlike in `acfd.media.video`, which leaves damaged videos of a data set out, a file is used as far
as it goes, frames are chosen by time (phones film at a variable rate), pixels made square.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition
from pydantic import ConfigDict

from acfd.detector.report import MediaReport
from acfd.media.video import IMAGES, PIXELS, VIDEOS, open_container, promised, too_large, turned

_HDR = {16, 18}  # transfer curves PQ and HLG (ITU-T H.273)
_LARGE = 1_500_000  # pixels of a frame above which decoding takes several threads


class MediaError(ValueError):
    """A file that cannot be judged; the message names it and says what was found."""


class Media(MediaReport):
    """What a file holds. Sizes are those of frames as shown: turned, and with square pixels."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    path: Path
    hdr: bool = False
    times: np.ndarray = np.zeros(1)  # seconds of each frame from the first, in order
    stamps: np.ndarray | None = None  # the same in the stream's units
    keys: tuple[int, ...] = ()  # frames that decoding can start at


def find(path: Path) -> list[Path]:
    """The file, or of a folder every image and video, to its depth and in order of name, without
    hidden files and overlays that were written before. Raises MediaError if it holds none."""
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES | VIDEOS)
    shown = [p for p in files if not any(x.startswith(".") for x in p.relative_to(path).parts)]
    found = [p for p in shown if ".overlay." not in p.name and p.is_file()]
    if not found:
        raise MediaError(f"{path}: no image or video in this folder")
    return found


def look(path: Path | str) -> Media:
    """What a file is, from its packets and its first frame. Raises MediaError if it is missing,
    empty, unreadable, without pictures or without one whole frame. A file that is damaged farther
    on is no error: `damage` says so."""
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if not (size := path.stat().st_size):
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    ending = path.suffix.lower()
    if ending in IMAGES or (ending not in VIDEOS and cv2.haveImageReader(str(path))):
        height, width = picture_of(path).shape[:2]
        sides = {"width": width, "height": height, "bits_per_pixel": 8 * size / (height * width)}
        return Media(path=path, kind="image", codec=ending.lstrip("."), **sides)
    return _look_video(path)


def choose(media: Media, wanted: int) -> list[int]:
    """Indices of `wanted` frames, evenly spaced in time: those shown in the middle of as many equal
    parts, as `faces.crops.choose_frames` has them. 0: all."""
    if not wanted or wanted >= media.frames:
        return list(range(media.frames))
    moments = (np.arange(wanted) + 0.5) * media.duration / wanted
    shown = np.searchsorted(media.times, moments + 1e-9, side="right") - 1
    return sorted(set(shown.clip(0).tolist()))


@contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A container and its video; pictures that belong to a sound file are none."""
    try:
        container = open_container(path)
    except av.FFmpegError as error:
        size = path.stat().st_size
        raise MediaError(
            f"{path}: neither an image nor a video that can be read ({error.strerror}; {size} "
            "bytes); it may be cut short: copy or download it again"
        ) from None
    with container:
        for stream in container.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                yield container, stream
                return
        raise MediaError(f"{path}: no video in this file; there are no faces in it to judge")


def _look_video(path: Path) -> Media:
    first, why, damage, packets, size = None, "no frame in it", "", [], 0
    with open_video(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, packet.is_keyframe))
                    size += packet.size
                    damage = damage or ("a packet is incomplete" if packet.is_corrupt else "")
                try:
                    first = first or next(iter(packet.decode()), None)
                except av.FFmpegError as error:
                    why = error.strerror
        except av.FFmpegError as error:
            damage = f"it cannot be read to its end ({error.strerror})"
        if first is None:
            raise MediaError(f"{path}: not one frame can be decoded ({why}); download it again")
        n = len(packets)
        if n < (expected := promised(stream)):
            damage = damage or f"{n} frames of {expected} are there"
        height, width = upright(first, stream).shape[:2]
        codec, unit = stream.codec_context.name, float(stream.time_base)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
    stamps, keys = np.array(sorted(s for s, _ in packets if s is not None)), ()
    if len(np.unique(stamps)) == n:
        times = (stamps - stamps[0]) * unit
        keys = tuple(np.searchsorted(stamps, sorted(s for s, key in packets if key)).tolist())
    else:  # stamps are missing: nothing but the order is known
        times, stamps = np.arange(n) / rate, None
    gaps = np.diff(times)
    duration = float(times[-1] + (gaps.mean() if len(gaps) else 1 / rate))
    return Media(
        path=path,
        kind="video",
        width=width,
        height=height,
        codec=codec,
        frames=n,
        duration=duration,
        fps=n / duration,
        variable_rate=bool(len(gaps) and np.ptp(np.percentile(gaps, [5, 95])) > 0.2 * gaps.mean()),
        rotation=first.rotation,
        bits_per_pixel=8 * size / (n * width * height),
        damage=damage,
        hdr=first.color_trc in _HDR,
        times=times,
        stamps=stamps,
        keys=keys,
    )


def upright(frame: av.VideoFrame, stream: av.VideoStream) -> np.ndarray:
    """H x W x 3 RGB uint8 as a player shows it: pixels made square, turned as the file says. Raises
    MediaError for more than 2**27 pixels."""
    wide = float(stream.sample_aspect_ratio or 1)
    size = (max(1, round(frame.width * wide)), frame.height)
    if size[0] * size[1] > PIXELS:
        path, shown = stream.container.name.removeprefix("file:"), f"{size[0]} x {size[1]}"
        raise MediaError(f"{path}: its frames are shown at {shown} pixels; at most {PIXELS} are "
                         "judged: scale it down")  # fmt: skip
    picture = frame.to_ndarray(format="rgb24")
    if wide != 1:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return turned(picture, frame.rotation)


def fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture as large as it fits into a black one of this size, in the middle of it."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = (max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(picture, (w, h), interpolation=how)
    x, y = (width - w) // 2, (height - h) // 2
    return cv2.copyMakeBorder(small, y, height - h - y, x, width - w - x, cv2.BORDER_CONSTANT)


def picture_of(path: Path) -> np.ndarray:
    """An image as RGB, turned as its EXIF says, without its transparency."""
    # by its bytes: OpenCV's own reading of files knows no Unicode names on some systems
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
        why = "it is cut short or damaged: copy or download it again"
    except cv2.error as error:
        if said := too_large(path):
            raise MediaError(said) from None
        picture, why = None, f"OpenCV refuses it ({error.err})"
    if picture is None:
        size = path.stat().st_size
        raise MediaError(f"{path}: the image cannot be decoded ({size} bytes); if it is one, {why}")
    return picture


class Frames:
    """Chosen frames of a file, read once: (index, H x W x 3 RGB uint8) in order of time; by seeking
    where that saves decoding, past what is damaged. `lost` counts chosen frames that could not be
    had so far, `why` says what was wrong with one."""

    def __init__(self, media: Media, chosen: Sequence[int]):
        """chosen: at least one, in order, each once."""
        self.media = media
        self.chosen = chosen
        self.lost = len(chosen)
        self.why = ""
        self._keys = media.keys
        self._sought = -1  # the frame that was last sought

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        video = self.media.kind == "video"
        for index, picture in self._video() if video else [(0, picture_of(self.media.path))]:
            self.lost -= 1
            yield index, picture

    def _video(self) -> Iterator[tuple[int, np.ndarray]]:
        media, wanted = self.media, deque(self.chosen)
        with open_video(media.path) as (container, stream):
            stream.thread_type = "AUTO" if media.width * media.height > _LARGE else "NONE"
            # a decoder that conceals damage would hand over invented pixels
            stream.codec_context.options = {"err_detect": "explode"}
            sought = self._seek(container, stream, wanted[0], -1)
            for index, frame in self._decoded(container, stream):
                if sought and index > wanted[0]:
                    # it came out behind what it was to find: no more seeking in this file
                    self._keys, sought = (), False
                    container.seek(int(media.stamps[0]), stream=stream)
                    continue
                while wanted and wanted[0] < index:
                    wanted.popleft()
                if wanted and wanted[0] == index:
                    # a stream may change its size, a place in it must not
                    yield index, fitted(upright(frame, stream), media.width, media.height)
                    wanted.popleft()
                if not wanted:
                    return
                sought = self._seek(container, stream, wanted[0], index)
        self.why = self.why or "the video ends before them"

    def _seek(self, container, stream, target: int, at: int) -> bool:
        """Go on from the last key frame before `target` if it lies ahead of `at`."""
        nth = bisect_right(self._keys, target) - 1
        if nth < 0 or self._keys[nth] <= at + 1 or target == self._sought:
            return False
        self._sought = target
        try:
            container.seek(int(self.media.stamps[self._keys[nth]]), stream=stream)
        except av.FFmpegError:
            self._keys = ()
            return False
        return True

    def _decoded(self, container, stream) -> Iterator[tuple[int, av.VideoFrame]]:
        """(index, frame) on from where the container is; over what is damaged to the next key."""
        stamps, count, skipping = self.media.stamps, 0, False
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                if skipping and packet.size and not packet.is_keyframe:
                    continue
                skipping = False
                frames = packet.decode()
            except (StopIteration, EOFError):
                return
            except av.FFmpegError as error:
                self.why = self.why or f"damaged: {error.strerror}"
                skipping = True
                with suppress(av.FFmpegError):
                    stream.codec_context.flush_buffers()
                continue
            for frame in frames:
                known = stamps is not None and frame.pts is not None
                index = int(np.searchsorted(stamps, frame.pts)) if known else count
                count += 1
                if not frame.is_corrupt:
                    yield index, frame
