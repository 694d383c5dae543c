"""The detector on forgeries from elsewhere: AUC and verdicts, as stored and once more compressed.

python benchmarks/outside.py NAME --real FOLDER --forged FOLDER [--size 400x300] [--most 100]

A clip is a video, a picture, or a folder of pictures (its frames, in order of name). Real and
forged clips are treated alike, so that neither size nor coding tells them apart: decoded, --frames
of them brought to one size, coded by H.264 (4:2:0) at CRF 23, and that video once more at CRF 40.
What is found is printed, and with --note kept in detector/outside.json, which the model card shows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from acfd.detector.core import RELEASED, Detector
from acfd.detector.export import OUTSIDE
from acfd.media.video import read_frames, write_video
from acfd.paths import atomic

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ""}  # VidTIMIT's have no ending
PASSES = {"c23": 23, "c40": 40}  # one after the other


def clips(folder: Path, most: int) -> list[Path]:
    """At most `most` clips below a folder, evenly chosen; one that holds pictures alone is a clip
    if they are frames (--frames above 1), else each picture is."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
    folders = sorted({f.parent for f in files if f.suffix.lower() in PICTURES})
    found = folders + [f for f in files if f.suffix.lower() not in PICTURES]
    if args.frames == 1:
        found = files
    return [found[i] for i in np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)]


def frames(clip: Path) -> list[np.ndarray]:
    """The first --frames frames, RGB, of the size that was asked for."""
    pictures = sorted(clip.iterdir()) if clip.is_dir() else [clip]
    pictures = [p for p in pictures if p.suffix.lower() in PICTURES][: args.frames]
    if pictures:
        read = [cv2.imdecode(np.fromfile(p, np.uint8), cv2.IMREAD_COLOR) for p in pictures]
        read = [np.ascontiguousarray(f[..., ::-1]) for f in read if f is not None]
    else:
        read = [frame for _, frame in read_frames(clip, range(args.frames))]
    for size in args.size:
        read = [cv2.resize(f, size, interpolation=_way(f, size)) for f in read]
    height, width = (side - side % 2 for side in read[0].shape[:2])
    return [np.ascontiguousarray(f[:height, :width]) for f in read]


def _way(frame: np.ndarray, size: tuple[int, int]) -> int:
    return cv2.INTER_AREA if frame.shape[1] > size[0] else cv2.INTER_CUBIC


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("name")
parser.add_argument("--real", type=Path, required=True)
parser.add_argument("--forged", type=Path, required=True)
parser.add_argument("--size", type=_size, nargs="*", default=[], help="sizes to pass through")
parser.add_argument("--frames", type=int, default=16)
parser.add_argument("--most", type=int, default=1000, help="clips of each kind")
parser.add_argument("--note", help="what the set is, for the model card")
args = parser.parse_args()

detector = Detector(min_frames=min(2, args.frames))
said = {name: [] for name in PASSES}
with tempfile.TemporaryDirectory() as scratch:
    for label, folder in enumerate((args.real, args.forged)):
        for clip in tqdm(clips(folder, args.most), desc=folder.name):
            shown = frames(clip)
            for name, crf in PASSES.items():
                path = Path(scratch) / f"{name}.mp4"
                write_video(path, shown, 25.0, crf=crf, pix_fmt="yuv420p")
                shown = [frame for _, frame in read_frames(path, range(len(shown)))]
                report = detector(path).report
                said[name].append((label, report.probability, report.verdict))

found = {"note": args.note or "", "weights_sha256": detector.model.weights_sha256}
for name, of in said.items():
    judged = [(label, p) for label, p, _ in of if p is not None]
    verdicts = [Counter(v for label, _, v in of if label == kind) for kind in (0, 1)]
    found[name] = {
        "auc": round(float(roc_auc_score(*zip(*judged))), 4),
        "real": dict(verdicts[0].most_common()),
        "forged": dict(verdicts[1].most_common()),
    }
print(json.dumps({args.name: found}, indent=1))
if args.note:
    path = RELEASED / OUTSIDE
    before = json.loads(path.read_text()) if path.is_file() else {}
    with atomic(path) as f:
        f.write_text(json.dumps(before | {args.name: found}, indent=1) + "\n")
