"""Chosen frames of anybody's video: by seeking where that saves decoding, past what is damaged."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence

import av
import numpy as np

from acfd.detect.media import Media, fitted, open_video, picture_of, upright

_LARGE = 1_500_000  # pixels of a frame above which decoding takes several threads


class Frames:
    """Chosen frames of a file, read once: (index, H x W x 3 RGB uint8) in order of time.

    `lost` counts chosen frames that could not be had so far, `why` says what was wrong with one.
    """

    def __init__(self, media: Media, chosen: Sequence[int]):
        self.media = media
        self.chosen = sorted(set(chosen))
        self.lost = len(self.chosen)
        self.why = ""
        self._keys = media.keys
        self._sought = -1  # the frame that was last sought

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        if not self.chosen:
            return
        pictures = (
            self._video() if self.media.kind == "video" else [(0, picture_of(self.media.path))]
        )
        for index, picture in pictures:
            self.lost -= 1
            yield index, picture

    def _video(self) -> Iterator[tuple[int, np.ndarray]]:
        wanted = deque(self.chosen)
        with open_video(self.media.path) as (container, stream):
            large = self.media.width * self.media.height > _LARGE
            stream.thread_type = "AUTO" if large else "NONE"
            # a decoder that conceals damage would hand over invented pixels
            stream.codec_context.options = {"err_detect": "explode"}
            sought = self._seek(container, stream, wanted[0], -1)
            for index, frame in self._decoded(container, stream):
                if sought and index > wanted[0]:
                    # it came out behind what it was to find: no more seeking in this file
                    self._keys = ()
                    container.seek(int(self.media.stamps[0]), stream=stream)
                    sought = False
                    continue
                while wanted and wanted[0] < index:
                    wanted.popleft()
                if wanted and wanted[0] == index:
                    picture = upright(frame, stream)
                    # a stream may change its size, a place in it must not
                    yield index, fitted(picture, self.media.width, self.media.height)
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
                try:
                    stream.codec_context.flush_buffers()
                except av.FFmpegError:
                    return
                continue
            for frame in frames:
                if stamps is None or frame.pts is None:
                    index = count
                else:
                    index = int(np.searchsorted(stamps, frame.pts))
                count += 1
                if not frame.is_corrupt:
                    yield index, frame
