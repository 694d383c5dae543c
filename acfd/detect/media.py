"""Anybody's images and videos: what a file holds, and which of its frames to take.

`acfd.video` reads the videos of a data set, where a damaged one is left out. Here a file is used as
far as it goes, frames are chosen by time (phones film at a variable rate), pixels made square.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition

from acfd.video import IMAGES, VIDEOS, open_container, turned

_HDR = {16, 18}  # transfer curves PQ and HLG (ITU-T H.273)
_PIXELS = 2**27  # of a frame, at most: as RGB it takes three bytes each


class MediaError(ValueError):
    """A file that cannot be judged; the message names it and says what was found."""


@dataclass(frozen=True)
class Media:
    """What a file holds. Sizes are those of frames as shown: turned, and with square pixels."""

    path: Path
    kind: str  # image or video
    width: int
    height: int
    codec: str
    frames: int
    duration: float  # seconds; 0 for an image
    rotation: int  # degrees that frames are turned by, counter-clockwise
    variable_rate: bool
    bits_per_pixel: float  # of the stream, a frame
    hdr: bool
    damage: str  # "" or what is wrong with it
    times: np.ndarray = field(repr=False)  # seconds of each frame from the first, in order
    stamps: np.ndarray | None = field(repr=False, default=None)  # the same in the stream's units
    keys: tuple[int, ...] = field(repr=False, default=())  # frames that decoding can start at

    @property
    def fps(self) -> float:
        """Mean frames a second; 0 for an image."""
        return self.frames / self.duration if self.duration else 0.0


def find(paths: Iterable[Path | str]) -> Iterator[Path]:
    """The files to judge: those named, and in folders every image and video, in order of name.

    Folders are searched through to their depth; hidden files and overlays that were written before
    are passed over. A folder that holds none raises MediaError when its turn comes.
    """
    seen = set()
    for path in map(Path, paths):
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if _wanted(p.relative_to(path), p))
            if not files:
                raise MediaError(f"{path}: no image or video in this folder")
        for file in files:
            if file.absolute() not in seen:
                seen.add(file.absolute())
                yield file


def _wanted(name: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    known = path.suffix.lower() in IMAGES | VIDEOS
    return known and not hidden and ".overlay." not in path.name and path.is_file()


def look(path: Path | str) -> Media:
    """What a file is, from its packets and its first frame.

    Raises MediaError if it is missing, empty, unreadable, without pictures or without one whole
    frame. A file that is damaged farther on is no error: `damage` says so.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    ending = path.suffix.lower()
    if ending in IMAGES or (ending not in VIDEOS and cv2.haveImageReader(str(path))):
        return _look_image(path)
    return _look_video(path)


def choose(media: Media, wanted: int) -> list[int]:
    """Indices of `wanted` frames, evenly spaced in time: those shown in the middle of as many equal
    parts, as `faces.choose_frames` has them. 0: all."""
    if not wanted or wanted >= media.frames:
        return list(range(media.frames))
    moments = (np.arange(wanted) + 0.5) * media.duration / wanted
    shown = np.searchsorted(media.times, moments + 1e-9, side="right") - 1
    return sorted(set(shown.clip(0).tolist()))


@contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A container and its video; pictures that belong to a sound file are none."""
    size = path.stat().st_size
    try:
        container = open_container(path)
    except av.FFmpegError as error:
        raise MediaError(
            f"{path}: neither an image nor a video that can be read ({error.strerror}; {size} "
            "bytes); if it should be one, it may be cut short: copy or download it again"
        ) from None
    with container:
        cover = Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            kinds = sorted({s.type for s in container.streams}) or ["nothing"]
            raise MediaError(
                f"{path}: no video in this file, only {', '.join(kinds)}; there are no faces in it "
                "to judge"
            )
        yield container, streams[0]


def _look_video(path: Path) -> Media:
    with open_video(path) as (container, stream):
        packets, size, damage = [], 0, ""
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, packet.is_keyframe))
                    size += packet.size
                    damage = damage or ("a packet is incomplete" if packet.is_corrupt else "")
        except av.FFmpegError as error:
            damage = f"it cannot be read to its end ({error.strerror})"
        if len(packets) < stream.frames:
            damage = damage or f"{len(packets)} frames of {stream.frames} are there"
        context, unit = stream.codec_context, stream.time_base
        rate = float(stream.average_rate or stream.guessed_rate or 25)
    first = _first_frame(path)
    stamps = sorted(stamp for stamp, _ in packets if stamp is not None)
    keys: tuple[int, ...] = ()
    if len(set(stamps)) == len(packets):
        times = np.array([float((s - stamps[0]) * unit) for s in stamps])
        order = {stamp: i for i, stamp in enumerate(stamps)}
        keys = tuple(sorted(order[stamp] for stamp, key in packets if key))
    else:  # stamps are missing: nothing but the order is known
        times, stamps = np.arange(len(packets)) / rate, None
    gaps = np.diff(times)
    height, width = first[0].shape[:2]
    return Media(
        path=path,
        kind="video",
        width=width,
        height=height,
        codec=context.name,
        frames=len(times),
        duration=float(times[-1] + (gaps.mean() if len(gaps) else 1 / rate)),
        rotation=first[1],
        variable_rate=bool(len(gaps) and np.ptp(np.percentile(gaps, [5, 95])) > 0.2 * gaps.mean()),
        bits_per_pixel=8 * size / (len(times) * width * height),
        hdr=first[2],
        damage=damage,
        times=times,
        stamps=None if stamps is None else np.array(stamps),
        keys=keys,
    )


def _first_frame(path: Path) -> tuple[np.ndarray, int, bool]:
    """The first frame, upright, the angle that it was turned by, and whether it is HDR."""
    why = "no frame in it"
    with open_video(path) as (container, stream):
        try:
            for frame in container.decode(stream):
                return upright(frame, stream), frame.rotation, frame.color_trc in _HDR
        except av.FFmpegError as error:
            why = error.strerror
    raise MediaError(
        f"{path}: not one frame of its video can be decoded ({why}); copy or download it again"
    )


def upright(frame: av.VideoFrame, stream: av.VideoStream) -> np.ndarray:
    """H x W x 3 RGB uint8 as a player shows it: pixels made square, turned as the file says.

    Raises MediaError for more than 2**27 pixels.
    """
    wide = float(stream.sample_aspect_ratio or 1)
    size = (max(1, round(frame.width * wide)), frame.height)
    if size[0] * size[1] > _PIXELS:
        raise MediaError(
            f"{stream.container.name.removeprefix('file:')}: its frames are shown at {size[0]} x "
            f"{size[1]} pixels; no more than {_PIXELS} are judged: scale it down"
        )
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
    x, y = (width - w) // 2, (height - h) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[y : y + h, x : x + w] = cv2.resize(picture, (w, h), interpolation=how)
    return canvas


def _look_image(path: Path) -> Media:
    picture = picture_of(path)
    return Media(
        path=path,
        kind="image",
        width=picture.shape[1],
        height=picture.shape[0],
        codec=path.suffix.lower().lstrip("."),
        frames=1,
        duration=0.0,
        rotation=0,
        variable_rate=False,
        bits_per_pixel=8 * path.stat().st_size / (picture.shape[0] * picture.shape[1]),
        hdr=False,
        damage="",
        times=np.zeros(1),
    )


def picture_of(path: Path) -> np.ndarray:
    """An image as RGB, turned as its EXIF says, without its transparency."""
    # by its bytes: OpenCV's own reading of files knows no Unicode names on some systems
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
        why = "it is cut short or damaged: copy or download it again"
    except cv2.error as error:
        picture, why = None, f"OpenCV refuses it ({error.err})"
    if picture is None:
        raise MediaError(
            f"{path}: the image cannot be decoded ({path.stat().st_size} bytes); if it is one, "
            f"{why}"
        )
    return picture
