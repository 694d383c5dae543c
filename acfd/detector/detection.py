"""`Detection`: what was found in one file, as data and as the files that tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from acfd.detector import report
from acfd.detector.faces import Seen
from acfd.detector.media import Media
from acfd.paths import atomic

# of the CSV, and the decimals that are told
COLUMNS = ["path", "frame", "time", "face", "x0", "y0", "x1", "y1", "confidence"]
COLUMNS += ["log_odds", "probability", "detail"]
_DECIMALS = {"time": 3, "confidence": 3, "log_odds": 4, "probability": 4, "detail": 2}


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
