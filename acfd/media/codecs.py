"""Codecs in memory: a few frames through H.264, a picture through JPEG or WebP."""

import av
import cv2
import numpy as np

from acfd.media.video import REPEATABLE


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
