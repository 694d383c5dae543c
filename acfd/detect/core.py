"""The detector that a user points at a file: from a path to a verdict with all that it rests on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from acfd import params as params_module
from acfd.deploy import export
from acfd.deploy.calibrate import sigmoid
from acfd.detect import backends, media, report, summary, verdict
from acfd.detect.ahead import ahead, batches
from acfd.detect.faces import Finder, Seen, Timing
from acfd.detect.frames import Frames
from acfd.detect.media import Media, MediaError
from acfd.detector import FaceDetector
from acfd.params import Detect, Params
from acfd.paths import Paths


@dataclass
class Detection:
    """What was found in one file: the report, and what it was made of."""

    report: report.Report
    media: Media | None = None
    chosen: list[int] = field(default_factory=list)  # frames
    seen: list[Seen] = field(default_factory=list)  # judged faces, in order of time; no pictures
    log_odds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    maps: np.ndarray | None = None  # N x s x s uint8, 255 = 1; None: a network without attention
    temperature: float = 1.0  # of a single frame's log-odds
    crop_size: int = 0  # pixels, as the network sees a face

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One a face and frame; columns as in `report.CSV_COLUMNS`."""
        rows = []
        for s, odds in zip(self.seen, self.log_odds):
            values = (self.report.path, s.frame, f"{s.time:.3f}", s.face, *s.square)
            confidence = "" if np.isnan(s.confidence) else f"{s.confidence:.3f}"
            probability = f"{sigmoid(odds / self.temperature):.4f}"
            values += (confidence, f"{odds:.4f}", probability, f"{s.detail:.2f}")
            rows.append(dict(zip(report.CSV_COLUMNS, values, strict=True)))
        return rows

    def overlay(self, path: Path | str) -> Path:
        """Write a picture (.png) or an H.264 video (.mp4) of it; see `acfd.detect.overlay`."""
        from acfd.detect import overlay

        return overlay.write(self, Path(path))

    def write(self, folder: Path | str, name: str, overlay: bool = True) -> dict[str, Path]:
        """Write <name>.json, <name>.csv and <name>.overlay.png or .mp4; returns what was written.

        A file without a face has no overlay.
        """
        folder = Path(folder)
        done = {"csv": folder / f"{name}.csv", "json": folder / f"{name}.json"}
        report.write_csv(done["csv"], self.rows)
        report.write_json(done["json"], self.report)
        if overlay and self.seen:
            ending = "png" if self.media.kind == "image" else "mp4"
            done["overlay"] = self.overlay(folder / f"{name}.overlay.{ending}")
        return done


class Detector:
    """Judges images and videos with one trained run of the study.

    Detector() takes the run and the settings of the section `detect` in params.yaml, or those
    given; Detector(model=folder) takes what `acfd export` wrote, and needs no params.yaml.

        found = Detector(frames=16)("clip.mp4")
        found.report.verdict, found.report.probability, found.report.interval
        found.overlay("clip.overlay.mp4")

    Raises ParamsError, ExportError or BackendError if the model cannot be had.
    """

    def __init__(
        self,
        params: Params | Path | str = "params.yaml",
        *,
        model: Path | str | None = None,
        paths: Paths | None = None,
        **settings: Any,
    ):
        """settings: keys of the section `detect`, in place of what it says."""
        if model is not None:
            self.folder = Path(model)
            self.about = export.read(self.folder)
            run = {"row": self.about["run"]["row"], "seed": self.about["run"]["seed"]}
            self.settings = Detect(**(self.about["detect"] | run | settings))
            self.backend = backends.of_files(self.folder, self.settings.backend)
        else:
            p = params if isinstance(params, Params) else params_module.load(params)
            paths = paths or Paths.of(p)
            self.settings = Detect(**(p.detect.model_dump() | settings))
            row, seed = self.settings.row, self.settings.seed
            self.about = export.about(p, paths, row, seed)
            self.folder = paths.run(row, seed)
            self.backend = self._of_run(p, paths, row, seed)
        self.calibration = self.about["calibration"]
        self.model = summary.model(self.about, self.folder, self.backend.name)
        boxes = self.about["input"]["boxes"]
        # boxes are a few percent larger or smaller in a search at another size
        size = self.settings.detect_size or boxes["detect_size"]
        self._detector = FaceDetector(boxes["min_score"], size)

    def __call__(self, path: Path | str, progress: bool = False) -> Detection:
        """Judge one file. A file that cannot be judged gives a report that says why, no error."""
        timing = Timing()
        began = time.perf_counter()
        try:
            with timing.stage("look"):
                about = media.look(path)
            found = self._judge(about, timing, progress)
        except MediaError as error:
            found = self.failed(path, str(error))
        except Exception as error:  # of many files, the others are still judged
            found = self.failed(path, f"{path}: {type(error).__name__}: {error}")
        timing.wall = time.perf_counter() - began
        seconds = {k: round(v, 4) for k, v in vars(timing).items()}
        found.report = found.report.model_copy(update={"seconds": seconds})
        return found

    def _judge(self, about: Media, timing: Timing, progress: bool) -> Detection:
        p, cut = self.settings, self.about["input"]
        finder = Finder(cut["margin"], cut["shape"][1], self._detector, p.find_every, timing)
        chosen = media.choose(about, p.frames)
        frames = Frames(about, chosen)
        bar = tqdm(
            total=len(chosen), desc=about.path.name, unit="frame", disable=not progress, leave=False
        )
        seen: list[Seen] = []
        logits: list[np.ndarray] = []
        maps: list[np.ndarray] = []
        with bar:
            decoded = _timed(frames, about, timing, bar.update)
            for batch in batches(ahead(finder.cut(decoded), 4 * p.batch), p.batch):
                with timing.stage("judge"):
                    large = [s for s in batch if s.side >= p.min_face]
                    if large:
                        crops = np.stack([s.crop for s in large])
                        odds, attention = backends.in_batches(self.backend, crops, p.batch)
                        logits.append(odds)
                        if attention is not None:
                            maps.append((attention.clip(0, 1) * 255).round().astype(np.uint8))
                for s in batch:
                    s.crop = None  # hundreds of them are memory for nothing
                seen += batch
        if frames.lost == len(chosen):
            raise MediaError(f"{about.path}: not one chosen frame could be read ({frames.why})")
        odds = np.concatenate(logits) if logits else np.zeros(0, np.float32)
        said = summary.of_file(about, frames, seen, odds, self.calibration, p, self.model)
        return Detection(
            said,
            about,
            chosen,
            [s for s in seen if s.side >= p.min_face],
            odds,
            np.concatenate(maps) if maps else None,
            verdict.of_size(self.calibration, 1, p)["temperature"],
            cut["shape"][1],
        )

    def failed(self, path: Path | str, why: str) -> Detection:
        """The answer to a file that could not be judged."""
        return Detection(summary.plain(path, "error", why, self.model))

    def _of_run(self, p: Params, paths: Paths, row: str, seed: int) -> backends.Backend:
        name = self.settings.backend
        gpu = name == "auto" and _gpu()
        if name == "torch" or gpu:
            return backends.Torch(export.judge_of(p, self.folder), "cuda" if gpu else "cpu")
        try:
            files = export.cached(p, paths, row, seed, said=self.about)
        except export.ExportError:
            if name != "auto":
                raise
            # a part of the network that ONNX does not know: it runs as it was trained
            return backends.Torch(export.judge_of(p, self.folder))
        return backends.of_files(files, name)


def _gpu() -> bool:
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        return False  # asking torch takes seconds
    import torch

    return torch.cuda.is_available()


def _timed(
    frames: Frames, about: Media, timing: Timing, done: Callable[[], object]
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frames with their seconds; the time that decoding takes goes to `timing`."""
    source = iter(frames)
    while True:
        with timing.stage("decode"):
            got = next(source, None)
        if got is None:
            return
        done()
        yield got[0], float(about.times[got[0]]), got[1]
