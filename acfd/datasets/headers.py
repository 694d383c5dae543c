"""What a video file promises, at the cost of its first bytes: for thousands of files in minutes."""

from __future__ import annotations

from pathlib import Path

import av

from acfd.video import VideoError, VideoInfo, open_container, probe


def header(path: Path) -> VideoInfo:
    """What a file promises, without reading it; `frames` is what its header says.

    Raises VideoError if it is missing, empty, no video, without a frame, or cut short.
    """
    _check_whole(path)
    try:
        with open_container(path) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            if stream.frames:
                size = (context.width, context.height)
                rate = float(stream.average_rate or stream.guessed_rate or 0)
                about = (rate, context.name, context.pix_fmt, stream.frames)
                return VideoInfo(path, stream.frames, *size, *about)
    except (av.FFmpegError, OSError, IndexError):
        pass  # reading it through finds the words for it
    info = probe(path)
    if not info.frames:
        raise VideoError(f"{path}: there is no frame in it; download or make it again")
    return info


def _check_whole(path: Path) -> None:
    """Follow the boxes of an MP4 file (ISO/IEC 14496-12, 4.2) from size to size, to its end.

    A download that was cut off behind a header at the start opens well; its last box ends beyond
    the file.
    """
    try:
        size, at = path.stat().st_size, 0
        with path.open("rb") as file:
            while at < size:
                file.seek(at)
                head = file.read(16)
                length, kind = int.from_bytes(head[:4]), head[4:8]
                if at == 0 and kind != b"ftyp":
                    return  # no MP4; what it is, the decoder says
                if length == 1:
                    length = int.from_bytes(head[8:16])
                if length < 8:
                    return  # 0: up to the end; else not a box
                at += length
    except OSError:
        return  # opening it says the same, with its name
    if at > size:
        raise VideoError(
            f"{path}: the file is cut short: {size} bytes of {at}; download or make it again"
        )
