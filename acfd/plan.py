"""What `dvc repro` is about to do, and about how long it takes; said before anything starts."""

from __future__ import annotations

import time

from acfd.params import Params
from acfd.paths import Paths

# Seconds of both cores of a 2-core machine (AVX2, no GPU), from benchmarks/: rough on purpose.
PERSON = 0.7  # three portraits of one generated person
CLIP_FRAME = 0.016  # film, forge and encode one frame of 320 x 320
FACE = 0.022  # decode, detect, crop and store one pair
PASS = 0.04  # one Xception, forward and backward, one crop of 96 x 96; `measured` here
FORWARD = 0.3  # a forward pass alone, as a part of that
START = 12.0  # a notebook's kernel and imports
CODED = 0.008  # code a frame of 320 x 320 and read it back, as the degraded copies are
COPY = 0.005  # blur, noise or such on one frame, and a face cut from it
DRAW = 20.0  # the tables and figures of a notebook, and of the calibration
CODECS = ("h264", "h265", "av1", "double")
# One image of each system as a part of PASS; of a two-branch system each of its two images
COST = {"steg": 0.05, "rahmouni": 0.3, "meso4": 0.1, "mesoinception4": 0.2, "f3net": 2.5}
OFFICIAL = 720  # real videos that FaceForensics++ trains on


def measured(p: Params) -> float:
    """Seconds of one crop of faces.size through an Xception, forward and backward, on what
    params.compute says: the best of three steps of a small batch."""
    import torch

    from acfd import model
    from acfd.ranks import make_fabric

    fabric = make_fabric(p.compute.model_copy(update={"devices": 1, "nodes": 1}))
    layout = torch.channels_last if p.compute.channels_last else torch.contiguous_format
    net = model.build("xception", weights=None).low.to(fabric.device, memory_format=layout)
    images = torch.rand(8, 3, p.faces.size, p.faces.size, device=fabric.device)
    images = images.contiguous(memory_format=layout)
    taken = []
    for _ in range(4):  # the first one warms up
        began = time.perf_counter()
        with fabric.autocast():
            loss = net(images).logits.float().square().sum()
        loss.backward()
        net.fc.bias.grad.sum().item()  # waits for a GPU
        taken.append((time.perf_counter() - began) / len(images))
    return min(taken[1:])


def plan(p: Params, each: float | None = None) -> str:
    """A table of the stages with their sizes and minutes.

    each: seconds of one crop through an Xception, as `measured`; None: those of a 2-core machine.
    """
    each = each or PASS * (p.faces.size / 96) ** 2
    paths = Paths.of(p)
    lines, total = [], 0.0

    def add(stage: str, what: str, seconds: float):
        nonlocal total
        total += seconds
        lines.append(f"  {stage:<11}{what:<55}{_minutes(seconds):>9}")

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
    for suffix, rows, table in (("2", p.table2.rows, p.table2), ("", p.study.rows, p.table1)):
        scoring = 0.0
        for row in rows:
            training, pairs = _training(p, row, each)
            add(f"train{suffix}", f"{row}, {seeds} seed(s), at most {pairs}", seeds * training)
            scoring += seeds * (START + _scored(p, row) * 2 * FORWARD * each * _cost(p, row))
        add(f"score{suffix}", f"{len(rows)} rows, {p.data.high} and {p.data.low}", scoring)
        made = f"{len(table.rows)} rows: tables, figures, metrics"
        add("table2" if suffix else "table1", made, DRAW + START)
    add("calibrate", f"what a score of {p.detect.row} is worth", DRAW + START)
    looked, seconds = _features(p, each)
    add("features", f"{len(p.attention.rows)} rows, {looked}", seconds)
    add("attention", "maps and features: figures, tables", 2 * DRAW + START)
    made, seconds, crops = _copies(p)
    add("copies", made, seconds)
    judged = sum(START + crops * FORWARD * each * _cost(p, row) for row in p.robustness.rows)
    add("robustness", f"{len(p.robustness.rows)} rows, {seeds} seed(s)", seeds * judged)
    add("curves", "robustness: tables, figures, metrics", 2 * DRAW + START)
    add("report", f"{paths.results}/report.html", START)
    head = f"preset {p.preset}: the tables in {paths.results}/, intermediate files in {paths.data}/"
    foot = "What is there already and up to date is not made again; interrupted, it goes on."
    if p.data.source not in ("synthff", "ffpp"):
        return "\n".join([head, *lines, foot])
    what = "in all" if clips else "in all, without faces, of the whole data set"
    about = f"  {what:<66}{_minutes(total):>9}   on this machine; early stopping may save some"
    return "\n".join([head, *lines, about, foot])


def _cost(p: Params, row: str) -> float:
    return COST.get(p.rows[row].system, 1)


def _training(p: Params, row: str, each: float) -> tuple[float, str]:
    """Seconds of one run that no early stopping ends, and its pairs in words."""
    t = p.for_row(row).train
    images = 2 if p.rows[row].system == "two_branch" else len(t.qualities)
    real = p.synthff.identities.train if p.data.source == "synthff" else OFFICIAL
    whole = 2 * real * len(t.methods) * p.faces.frames  # as many real pairs as forged ones
    pairs = (t.epoch_steps * t.batch or whole) * t.most_epochs()
    checked = t.val_pairs * t.most_epochs() * FORWARD
    seconds = (1.1 * pairs + checked) * images * each * _cost(p, row) + 2 * START
    return seconds, f"{pairs} pairs"


def _scored(p: Params, row: str) -> int:
    """Pairs of the validation and test splits that a row is scored on, if they are known."""
    if p.data.source != "synthff":
        return 0
    of = p.for_row(row)
    people = p.synthff.identities.val + p.synthff.identities.test
    clips = people * (1 + len(of.score.methods or of.train.methods))
    return clips * min(p.faces.frames, p.synthff.frames)


def _features(p: Params, each: float) -> tuple[str, float]:
    """Faces that features are taken of, in words, and seconds: both states, both qualities."""
    frames, seconds, faces = p.attention.frames, 0.0, 0
    for row in p.attention.rows:
        seconds += START
        if p.data.source == "synthff":
            of = p.for_row(row)
            clips = p.synthff.identities.test * (1 + len(of.score.methods or of.train.methods))
            faces = clips * min(frames, p.faces.frames, p.synthff.frames)
            seconds += 4 * faces * FORWARD * each * _cost(p, row)
    return f"{faces} test faces" if faces else f"{frames} frame(s) a test video", seconds


def _copies(p: Params) -> tuple[str, float, int]:
    """Degraded copies in words, their seconds, and how many faces are cut (0 if not known)."""
    r = p.robustness
    levels = dict(r.levels)
    kinds = 1 + sum(map(len, levels.values()))
    if p.data.source != "synthff":
        return f"{kinds} levels of {r.frames} frame(s) a test video", START, 0
    forged = min(r.forgeries or len(p.data.methods), len(p.data.methods))
    faces = p.synthff.identities.test * (1 + forged) * min(r.frames, p.faces.frames)
    # double codes twice
    passes = sum(len(levels[codec]) for codec in CODECS) + len(levels["double"])
    window = min(r.window, p.synthff.frames) * (p.synthff.size / 320) ** 2
    seconds = START + faces * (passes * window * CODED + kinds * COPY)
    return f"{faces} test faces at {kinds} levels", seconds, faces * kinds


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds else ""
