"""What `dvc repro` is about to do, and about how long it takes; said before anything starts."""

from __future__ import annotations

import time
from collections.abc import Callable

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
CODECS = ("h264", "h265", "av1", "double", "double")  # it codes twice
# One image of each system as a part of PASS; of a two-branch system each of its two images
COST = {"steg": 0.05, "rahmouni": 0.3, "meso4": 0.1, "mesoinception4": 0.2, "f3net": 2.5}
OFFICIAL = 720  # real videos that FaceForensics++ trains on


def measured(p: Params) -> float:
    """Seconds of one crop of faces.size through an Xception, forward and backward, on what
    params.compute says: the best of three steps of a small batch."""
    import torch

    from acfd.method import model
    from acfd.runs.distributed import make_fabric

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
    paths, d, a, r = Paths.of(p), p.data, p.attention, p.robustness
    made = d.source == "synthff"  # else it is not known how many videos there are
    seeds = len(p.study.seeds)
    area = (p.synthff.size / 320) ** 2
    lines, total = [], 0.0

    def add(stage: str, what: str, seconds: float):
        nonlocal total
        total += seconds
        shown = f"{seconds / 60:.1f} min" if seconds else ""
        lines.append(f"  {stage:<11}{what:<55}{shown:>9}")

    def judged(rows: list[str], images: Callable[[str], int]) -> float:
        """Seconds until each row's network has seen so many images."""
        cost = {row: COST.get(p.rows[row].system, 1) for row in rows}
        return sum(START + images(row) * FORWARD * each * cost[row] for row in rows)

    if made:
        people = sum(n for _, n in p.synthff.identities)
        clips = people * (1 + len(d.methods))
        seconds = people * PERSON + clips * p.synthff.frames * area * CLIP_FRAME
        add("videos", f"{people} people, {clips} clips at raw, c23, c40", START + seconds)
        pairs = clips * min(p.faces.frames, p.synthff.frames)
        add("faces", f"{pairs} pairs of {p.faces.size} px", START + pairs * FACE)
    else:
        add("videos", f"check of {d.root}", START)
        add("faces", f"{p.faces.frames} pairs a video of {p.faces.size} px: see `acfd check`", 0)
    for suffix, rows, table in (("2", p.table2.rows, p.table2), ("", p.study.rows, p.table1)):
        for row in rows:
            seconds, pairs = _training(p, row, each)
            add(f"train{suffix}", f"{row}, {seeds} seed(s), at most {pairs} pairs", seeds * seconds)
        seconds = seeds * judged(rows, lambda row: 2 * _pairs(p, row, "val", "test"))
        add(f"score{suffix}", f"{len(rows)} rows, {d.high} and {d.low}", seconds)
        what = f"{len(table.rows)} rows: tables, figures, metrics"
        add("table2" if suffix else "table1", what, DRAW + START)
    add("calibrate", f"what a score of {p.detect.row} is worth", DRAW + START)
    looked = f"{_pairs(p, a.rows[-1], 'test', most=a.frames)} test faces"
    what = looked if made else f"{a.frames} frame(s) a test video"
    # both states, both qualities
    seconds = judged(a.rows, lambda row: 4 * _pairs(p, row, "test", most=a.frames))
    add("features", f"{len(a.rows)} rows, {what}", seconds)
    add("attention", "maps and features: figures, tables", 2 * DRAW + START)
    levels = dict(r.levels)
    kinds = 1 + sum(map(len, levels.values()))
    forged = min(r.forgeries or len(d.methods), len(d.methods))
    faces = made * p.synthff.identities.test * (1 + forged) * min(r.frames, p.faces.frames)
    coded = sum(len(levels[codec]) for codec in CODECS) * min(r.window, p.synthff.frames) * area
    what = f"{faces} test faces at {kinds} levels"
    what = what if made else f"{kinds} levels of {r.frames} frame(s) a test video"
    add("copies", what, START + faces * (coded * CODED + kinds * COPY))
    seconds = seeds * judged(r.rows, lambda _: faces * kinds)
    add("robustness", f"{len(r.rows)} rows, {seeds} seed(s)", seconds)
    add("curves", "robustness: tables, figures, metrics", 2 * DRAW + START)
    add("report", f"{paths.results}/report.html", START)
    if d.source in ("synthff", "ffpp"):
        what = "in all" if made else "in all, without faces, of the whole data set"
        about = "on this machine; early stopping may save some"
        lines.append(f"  {what:<66}{total / 60:>5.1f} min   {about}")
    head = f"preset {p.preset}: the tables in {paths.results}/, intermediate files in {paths.data}/"
    foot = "What is there already and up to date is not made again; interrupted, it goes on."
    return "\n".join([head, *lines, foot])


def _training(p: Params, row: str, each: float) -> tuple[float, int]:
    """Seconds of one run that no early stopping ends, and its pairs."""
    t, system = p.for_row(row).train, p.rows[row].system
    images = 2 if system == "two_branch" else len(t.qualities)
    real = p.synthff.identities.train if p.data.source == "synthff" else OFFICIAL
    whole = 2 * real * len(t.methods) * p.faces.frames  # as many real pairs as forged ones
    pairs = (t.epoch_steps * t.batch or whole) * t.most_epochs()
    checked = t.val_pairs * t.most_epochs() * FORWARD
    return (1.1 * pairs + checked) * images * each * COST.get(system, 1) + 2 * START, pairs


def _pairs(p: Params, row: str, *splits: str, most: int | None = None) -> int:
    """Pairs of these splits that a row is tested on, `most` of a video; 0 if that is not known."""
    if p.data.source != "synthff":
        return 0
    of = p.for_row(row)
    people = sum(getattr(p.synthff.identities, split) for split in splits)
    frames = min(p.faces.frames, p.synthff.frames)
    clips = people * (1 + len(of.score.methods or of.train.methods))
    return clips * min(frames, most or frames)
