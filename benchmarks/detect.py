"""Speed of detection on this machine: the network by both backends, and the whole road by stage.

python benchmarks/detect.py [--row ROW] [--rounds 5]        needs a run: after `make study`

Backends are measured in turn, round by round, in one process and on all cores; what counts is the
ratio of a round. The clip is ten seconds of one generated face that moves through 854 x 480 pixels.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import machine
import numpy as np
import openvino
import torch

from acfd import params
from acfd.detector import backends, export
from acfd.detector.core import Detector
from acfd.media.video import write_video
from acfd.params import Params
from acfd.paths import Paths
from acfd.videos.synthff.people import Generator

HERE = Path(__file__).parent
WIDTH, HEIGHT, FPS, SECONDS = 854, 480, 25, 10


def clip(path: Path) -> Path:
    """Ten seconds of a face of about 150 pixels, at CRF 23."""
    generator = Generator()
    style = generator.styles(np.random.default_rng(7).normal(size=(1, 512)))[0]
    portrait = generator.render(generator.mean + 0.8 * (style - generator.mean))
    side = 256
    portrait = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)

    def frames():
        for n in range(FPS * SECONDS):
            frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
            x = round((WIDTH - side) / 2 + 200 * np.sin(n / 40))
            frame[100 : 100 + side, x : x + side] = portrait
            noisy = frame + rng.normal(0, 3, frame.shape)
            yield np.clip(noisy, 0, 255).astype(np.uint8)

    write_video(path, frames(), FPS, crf=23, pix_fmt="yuv420p")
    return path


def inference(p: Params, paths: Paths, row: str, folder: Path, rounds: int) -> dict:
    """Crops a second of every backend, and its ratio to eager PyTorch of the same round."""
    size, batch = p.faces.size, p.detect.batch
    crops = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), np.uint8)
    judge = export.judge_of(p, paths.run(row, p.detect.seed))
    judged = [backends.by_torch(judge), backends.by_openvino(folder)]
    rates: dict[str, list[float]] = {backend.name: [] for backend in judged}
    for n in range(rounds + 1):
        for backend in judged:
            began = time.perf_counter()
            backend(crops, batch)
            if n:  # the first round warms up
                rates[backend.name].append(len(crops) / (time.perf_counter() - began))
    return {
        name: {
            "crops_a_second": round(statistics.median(seen), 1),
            "times_eager": round(statistics.median(a / b for a, b in zip(seen, rates["torch"])), 2),
        }
        for name, seen in rates.items()
    }


def road(p: Params, paths: Paths, row: str, video: Path, frames: int, rounds: int) -> dict:
    """The whole of `detect` on the clip: frames a second, and the seconds of each stage."""
    detector = Detector(p, paths=paths, row=row, frames=frames, backend="openvino")
    detector(video)
    reports = [detector(video).report for _ in range(rounds)]
    best = min(reports, key=lambda r: r.seconds["wall"])
    stages = {k: v for k, v in best.seconds.items() if k not in ("wall", "overlay")}
    return {
        "judged": best.frames.judged,
        "judged_a_second": round(best.frames.judged / best.seconds["wall"], 1),
        "times_real_time": round(SECONDS / best.seconds["wall"], 2),
        "seconds": {k: round(v, 3) for k, v in best.seconds.items()},
        "longest_stage": max(stages, key=stages.get),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    p = params.load(HERE.parent / "params.yaml")
    paths = Paths.of(p, HERE.parent)
    row = args.row or p.detect.row
    with tempfile.TemporaryDirectory(prefix="acfd") as temporary:
        folder = Path(temporary)
        about = export.export(p, paths, row, p.detect.seed, folder / "model")
        video = clip(folder / "clip.mp4")
        said = {
            "run": f"{p.preset} {row}-s{p.detect.seed}",
            "crop": p.faces.size,
            "inference": inference(p, paths, row, folder / "model", args.rounds),
            "difference_to_pytorch": about["difference"],
            "detect_every_frame": road(p, paths, row, video, 0, args.rounds),
            "detect_as_set": road(p, paths, row, video, p.detect.frames, args.rounds),
        }
    machine.write(
        said,
        HERE / "results" / "detect-cpu.json",
        instructions=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
        openvino=openvino.__version__.split("-")[0],
    )


if __name__ == "__main__":
    main()
