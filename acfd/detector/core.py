"""The detector that a user points at a file: from a path to a verdict with all that it rests on."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import ValidationError
from scipy.special import expit
from tqdm import tqdm

from acfd import params as params_module
from acfd.detector import backends, export, media, verdict
from acfd.detector.faces import Finder, Seen, Timing
from acfd.detector.files import DeployError
from acfd.detector.media import Frames, Media, MediaError
from acfd.detector.report import Report
from acfd.media.centerface import FaceDetector
from acfd.params import Params, ParamsError
from acfd.paths import Paths, atomic
from acfd.sections import Detect

# of the CSV, and the decimals that are told
COLUMNS = ["path", "frame", "time", "face", "x0", "y0", "x1", "y1", "confidence"]
COLUMNS += ["log_odds", "probability", "detail"]
_DECIMALS = {"time": 3, "confidence": 3, "log_odds": 4, "probability": 4, "detail": 2}
RELEASED = Path(__file__).parents[2] / "detector"  # the run that comes with acfd
T = TypeVar("T")


@dataclass
class Detection:
    """What was found in one file: the report, and what it was made of."""

    report: Report
    media: Media | None = None
    chosen: list[int] = field(default_factory=list)  # frames
    seen: list[Seen] = field(default_factory=list)  # judged faces, in order of time; no pictures
    log_odds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    maps: np.ndarray | None = None  # N x s x s uint8, 255 = 1; None: a network without attention
    temperature: float = 1.0  # of a single frame's log-odds
    crop_size: int = 0  # pixels, as the network sees a face

    @property
    def rows(self) -> pd.DataFrame:
        """A row a judged face and frame; columns as in docs/detect.md."""
        odds = self.log_odds.astype(float)
        values = [
            (self.report.path, s.frame, s.time, s.face, *s.square, s.confidence, *of, s.detail)
            for s, *of in zip(self.seen, odds, expit(odds / self.temperature))
        ]
        return pd.DataFrame(values, columns=COLUMNS).round(_DECIMALS)

    def overlay(self, path: Path | str) -> Path:
        """Write a picture (.png) or an H.264 video (.mp4) of it; see `acfd.detector.overlay`."""
        from acfd.detector import overlay

        return overlay.write(self, Path(path))

    def write(self, folder: Path | str, name: str, overlay: bool = True) -> dict[str, Path]:
        """Write <name>.json, <name>.csv and <name>.overlay.png or .mp4, each whole or not at all;
        returns what was written. A file without a face has no overlay."""
        done = {kind: Path(folder) / f"{name}.{kind}" for kind in ("csv", "json")}
        with atomic(done["csv"]) as f:
            self.rows.to_csv(f, index=False, lineterminator="\n")
        with atomic(done["json"]) as f:
            f.write_text(self.report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if overlay and self.seen:
            ending = "png" if self.media.kind == "image" else "mp4"
            done["overlay"] = self.overlay(Path(folder) / f"{name}.overlay.{ending}")
        return done


class Detector:
    """Judges images and videos with one trained run.

    Detector() takes the one that comes with acfd, in the folder `detector`; with params, or row or
    seed, it is the run of the study that the section `detect` names. Detector(model=folder) takes
    what `acfd export` or `acfd release` wrote.

        found = Detector(frames=16)("clip.mp4")
        found.report.verdict, found.report.probability, found.report.interval
        found.overlay("clip.overlay.mp4")

    Raises ParamsError, DeployError or BrokenError if the model cannot be had.
    """

    _make_ready: Callable[[], Any] | None = None

    def __init__(
        self,
        params: Params | None = None,
        *,
        model: Path | str | None = None,
        paths: Paths | None = None,
        real: Path | str | None = None,
        **settings: Any,
    ):
        """real: a folder of reports of files that are known to be real (`verdict.with_own`);
        settings: keys of the section `detect`, in place of what it says."""
        try:
            self._load(params, model, paths, settings)
        except ValidationError as error:
            raise ParamsError(params_module.explain(error, "detect")) from None
        except (KeyError, TypeError, AttributeError) as error:
            where = self.folder / export.ABOUT if model is not None else self.folder / "run.json"
            raise DeployError(
                f"{where}: broken, or of another version ({type(error).__name__}: {error}); "
                f"{'export' if model is not None else 'train'} it again"
            ) from error
        if real is not None and self.calibration:
            known = self.calibration, Path(real), self.model.weights_sha256, self.settings
            self.calibration = verdict.with_own(*known)

    def _load(self, params, model, paths, settings: dict[str, Any]) -> None:
        if params is None and model is None and not {"row", "seed"} & settings.keys():
            model = RELEASED
        if model == RELEASED or (model is not None and Path(model, "run.json").exists()):
            from acfd.detector import release

            params, paths, row, seed = release.opened(Path(model))
            model, settings = None, settings | {"row": row, "seed": seed}
        if model is not None:
            self.folder = Path(model)
            self.about = export.read(self.folder)
            self.settings = Detect(**(self.about["detect"] | settings))
            self.backend = backends.by_openvino(self.folder)
        else:
            p = params or params_module.load()
            paths = paths or Paths.of(p)
            self.settings = Detect(**(p.detect.model_dump() | settings))
            row, seed = self.settings.row, self.settings.seed
            self.folder = paths.run(row, seed)
            self.about = export.about(p, paths, row, seed)
            self.backend = self._of_run(p, paths)
        self.calibration = self.about["calibration"]  # None: the run was not scored
        self.model = verdict.model(self.about, self.folder, self.backend.name)
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
        except Exception as error:  # of many files, the others are still judged
            named = isinstance(error, MediaError)
            why = str(error) if named else f"{path}: {type(error).__name__}: {error}"
            said = Report(path=str(path), verdict="error", why=why, model=self.model)
            found = Detection(said)
        timing.wall = time.perf_counter() - began
        seconds = {k: round(v, 4) for k, v in vars(timing).items()}
        found.report = found.report.model_copy(update={"seconds": seconds})
        return found

    def _judge(self, about: Media, timing: Timing, progress: bool) -> Detection:
        p, cut = self.settings, self.about["input"]
        size = cut["size"]
        finder = Finder(cut["margin"], size, self._detector, p.find_every, timing)
        frames = Frames(about, media.choose(about, p.frames))
        style = {"total": len(frames.chosen), "unit": "frame", "leave": False}
        bar = tqdm(frames, desc=about.path.name, disable=not progress, **style)
        faces = finder.cut((index, float(about.times[index]), picture) for index, picture in bar)
        seen, odds, maps = [], [np.zeros(0, np.float32)], []
        for batch in ahead(iter(lambda: list(islice(faces, p.batch)), [])):
            crops = [s.crop for s in batch if s.side >= p.min_face]
            if crops:
                with timing.stage("judge"):
                    said, attention = self.backend(np.stack(crops), p.batch)
                odds.append(said)
                if attention is not None:
                    maps.append((attention.clip(0, 1) * 255).round().astype(np.uint8))
            seen += [replace(s, crop=None) for s in batch]  # hundreds are memory for nothing
        if frames.lost == len(frames.chosen):
            raise MediaError(f"{about.path}: not one chosen frame could be read ({frames.why})")
        odds, known = np.concatenate(odds), self.calibration or verdict.UNKNOWN
        return Detection(
            verdict.of_file(frames, seen, odds, known, p, self.model),
            about,
            frames.chosen,
            [s for s in seen if s.side >= p.min_face],
            odds,
            np.concatenate(maps) if maps else None,
            known["frames"]["temperature"],
            size,
        )

    def _of_run(self, p: Params, paths: Paths) -> backends.Backend:
        name = self.settings.backend
        device = "cuda" if name == "auto" and _gpu() else "cpu"
        if name == "openvino" or (name == "auto" and device == "cpu"):
            if folder := export.cached(p, paths, self.about, make=name == "openvino"):
                return backends.by_openvino(folder)
            # the files take longer to make than a clip takes to judge
            self._make_ready = partial(export.cached, p, paths, self.about)
        return backends.by_torch(export.judge_of(p, self.folder), device)

    def make_ready(self) -> None:
        """Make OpenVINO's files and go on with them, if `auto` began without: this Detector is then
        faster, the next one of the run ready sooner as well."""
        make, self._make_ready = self._make_ready, None
        if make:
            # a part of the network that it does not know, or a folder that cannot be written to
            with suppress(DeployError, OSError):
                self.backend = backends.by_openvino(make())
                self.model = verdict.model(self.about, self.folder, self.backend.name)


def _gpu() -> bool:
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        return False  # asking torch takes seconds
    import torch

    return torch.cuda.is_available()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items (none of them None), each made by a thread of its own while the one before is
    in use: decoding and searching for faces keep one core busy, the network can have the others.
    An error in making an item is raised where the item would have come."""
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item
