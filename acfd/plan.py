"""What `dvc repro` is about to do, and about how long it takes; said before anything starts."""

from __future__ import annotations

import json
import time
from pathlib import Path

from acfd.params import Params
from acfd.paths import Paths

# Seconds of both cores of a 2-core machine (AVX2, no GPU), from benchmarks/: rough on purpose.
PERSON = 1.2  # three portraits of one generated person
CLIP_FRAME = 0.02  # film, forge and encode one frame of 320 x 320
FACE = 0.022  # decode, detect, crop and store one pair
PASS = 0.062  # one Xception, forward and backward, one crop of 96 x 96
FORWARD = 0.3  # a forward pass alone, as a part of that
START = 12.0  # a notebook's kernel and imports
# One image of each system as a part of PASS; of a two-branch system each of its two images
COST = {"steg": 0.05, "rahmouni": 0.3, "meso4": 0.1, "mesoinception4": 0.2, "f3net": 2.5}


def clear_broken_lock(dvc: Path = Path(".dvc")) -> bool:
    """Remove DVC's rwlock file if a kill -9 left it half-written; returns whether it did.

    DVC writes it in place, and refuses to start if it is not whole. A DVC at work may be writing
    it just now, so it is looked at twice.
    """
    path = dvc / "tmp" / "rwlock"
    for pause in (1.0, 0.0):
        try:
            json.loads(path.read_text())
            return False
        except FileNotFoundError:
            return False
        except ValueError:
            time.sleep(pause)
    path.unlink(missing_ok=True)
    return True


def plan(p: Params) -> str:
    """A table of the stages with their sizes and minutes."""
    paths = Paths(p.preset)
    lines, total = [], 0.0

    def add(stage: str, what: str, seconds: float):
        nonlocal total
        total += seconds
        lines.append(f"  {stage:<8}{what:<58}{_minutes(seconds):>9}")

    clips = faces = 0
    if p.data.source == "synthff":
        people = sum(n for _, n in p.synthff.identities)
        clips = people * (1 + len(p.data.methods))
        frames = clips * p.synthff.frames * (p.synthff.size / 320) ** 2
        seconds = START + people * PERSON + frames * CLIP_FRAME
        add("videos", f"{people} people, {clips} clips at raw, c23, c40", seconds)
        faces = clips * min(p.faces.frames, p.synthff.frames)
        add("faces", f"{faces} pairs of {p.faces.size} px", START + faces * FACE)
    else:
        add("videos", f"check of {p.data.root}", START)
        add("faces", f"{p.faces.frames} pairs a video of {p.faces.size} px: see `acfd check`", 0)
    seeds = len(p.study.seeds)
    scoring = 0.0
    for row in p.study.rows:
        training, pairs = _training(p, row)
        add("train", f"{row}, {seeds} seed(s), at most {pairs}", seeds * training)
        scoring += seeds * (START + _scored(p, row) * 2 * FORWARD * _pass(p, row))
    add("score", f"{len(p.study.rows)} rows, {p.data.high} and {p.data.low}", scoring)
    add("table1", f"{len(p.table1.rows)} rows: tables, figures, metrics", 20 + START)
    add("table2", f"{len(p.table2.rows)} rows: tables, figures, metrics", 20 + START)
    head = f"preset {p.preset}: the tables in {paths.results}/, intermediate files in {paths.data}/"
    foot = "What is there already and up to date is not made again; interrupted, it goes on."
    if p.data.source != "synthff":
        return "\n".join([head, *lines, foot])
    about = f"  {'in all':<66}{_minutes(total):>9}   on 2 CPU cores; early stopping may save some"
    return "\n".join([head, *lines, about, foot])


def _pass(p: Params, row: str) -> float:
    """Seconds of one image through a row's system, forward and backward."""
    return PASS * (p.faces.size / 96) ** 2 * COST.get(p.rows[row].system, 1)


def _training(p: Params, row: str) -> tuple[float, str]:
    """Seconds of one run that no early stopping ends, and its pairs in words."""
    t = p.for_row(row).train
    images = 2 if p.rows[row].system == "two_branch" else len(t.qualities)
    pairs = t.epoch_pairs * (t.epochs + FORWARD * t.classifier_epochs)
    checked = t.val_pairs * (t.epochs + t.classifier_epochs) * FORWARD
    seconds = (1.1 * pairs + checked) * images * _pass(p, row) + 2 * START
    said = f"{t.epoch_pairs * (t.epochs + t.classifier_epochs)} pairs"
    return seconds, said if t.epoch_pairs else "every pair of every epoch"


def _scored(p: Params, row: str) -> int:
    """Pairs of the validation and test splits that a row is scored on, if they are known."""
    if p.data.source != "synthff":
        return 0
    of = p.for_row(row)
    people = sum(getattr(p.synthff.identities, split) for split in p.score.splits)
    clips = people * (1 + len(of.score.methods or of.train.methods))
    return clips * min(p.faces.frames, p.synthff.frames)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds else ""
