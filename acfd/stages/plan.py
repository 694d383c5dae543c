"""What `dvc repro` is about to do, and about how long it takes; said before anything starts. Rough
on purpose: a step of training is timed here, and of videos that are not generated the extraction of
three; the rest goes by constants."""

import shutil
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from acfd import videos
from acfd.baselines.xception import XceptionSystem
from acfd.faces.extract import extract_clip
from acfd.faces.shards import SUFFIX
from acfd.params import Params
from acfd.paths import Paths
from acfd.runs.distributed import make_fabric
from acfd.videos.ffpp import REAL, Clip, TreeError

# Seconds of both cores of a 2-core machine (AVX-512, no GPU), from pocket made in one go
PERSON = 0.45  # three portraits of one generated person
CLIP_FRAME = 0.016  # film, forge and encode one frame of 320 x 320
FACE = 0.01  # decode, detect, crop and store one pair of a generated video
COPY = 0.005  # degrade a frame of 320 x 320: of codecs and filters the mean
START = 12.0  # a notebook's kernel and imports
DRAW = 15.0  # the tables and figures of a notebook, with its start
FORWARD = 0.3  # a forward pass alone, as a part of `step`
THREADS = 0.9  # n threads do the work of n ** THREADS
# One image of each system as a part of `step`; of a two-branch system each of its two images.
# Without f3net they are those of results/pocket/metrics/runs
COST = {"steg": 0.05, "rahmouni": 0.5, "meso4": 0.1, "mesoinception4": 0.13, "f3net": 2.5}
OFFICIAL = {"train": 720, "val": 140, "test": 140}  # real videos of FaceForensics++


def step(p: Params) -> float:
    """Seconds of one crop of faces.size through an Xception, forward and backward, on what
    params.compute says: the best of three steps of a small batch; on a CPU of one thread's own
    seconds, so that what else the machine does counts for little."""
    fabric = make_fabric(p.compute.model_copy(update={"devices": 1, "nodes": 1}))
    layout = torch.channels_last if p.compute.channels_last else torch.contiguous_format
    net = XceptionSystem.network(p, None, 0).low.to(fabric.device, memory_format=layout)
    images = torch.rand(8, 3, p.faces.size, p.faces.size, device=fabric.device)
    images = images.contiguous(memory_format=layout)
    on_cpu, threads = fabric.device.type == "cpu", torch.get_num_threads()
    clock = time.process_time if on_cpu else time.perf_counter

    def train():
        with fabric.autocast():
            loss = net(images).logits.float().square().sum()
        loss.backward()
        net.fc.bias.grad.sum().item()  # waits for a GPU

    torch.set_num_threads(1)
    try:
        taken = timeit.repeat(train, timer=clock, number=1, repeat=4)  # the first one warms up
    finally:
        torch.set_num_threads(threads)
    return min(taken[1:]) / len(images) / (threads**THREADS if on_cpu else 1)


def extraction(p: Params, tree, clips: list[Clip]) -> tuple[float, float]:
    """Seconds of a process, and bytes, that the shard of one of these clips takes: a mean of three,
    which are written to a temporary folder on the disk of the faces folder, and removed."""
    chosen = {clips[0], clips[len(clips) // 2], clips[-1]}
    seconds = 0.0
    with tempfile.TemporaryDirectory(prefix=".plan", dir=_disk(p)) as out:
        rest = (p.data.high, p.data.low, Path(out))
        for clip in chosen:
            first = p.faces.model_copy(update={"frames": 1, "choice": "first"})
            extract_clip(tree, clip, first, *rest)  # compiles the detector for this shape
            began = time.perf_counter()
            extract_clip(tree, clip, p.faces, *rest)
            seconds += time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(out).glob(f"*/*{SUFFIX}"))
    return seconds / len(chosen), size / len(chosen)


def plan(p: Params, each: float | None = None) -> str:
    """A table of the stages with their sizes and minutes. each: seconds of one crop through an
    Xception; None: `step` is asked. Raises TreeError for a data set that cannot be read;
    FaceForensics++ need not be there yet."""
    paths, stages = Paths.of(p), list(_stages(p, each or step(p)))
    total = sum(seconds for _, _, seconds in stages)
    stages.append(("in all", "on this machine; early stopping may save some", total))
    lines = [f"  {stage:<18}{what:<55}{s / 60:>7.1f} min" for stage, what, s in stages]
    first = f"preset {p.preset}: tables in {paths.results}/, intermediate files in {paths.data}/"
    last = "What is there already and up to date is not made again; interrupted, it goes on."
    return "\n".join([first, *lines, last])


def _stages(p: Params, each: float) -> Iterator[tuple[str, str, float]]:
    """A stage, what it has to do, and the seconds that takes."""
    d, a, r = p.data, p.attention, p.robustness
    made = d.source == "synthff"
    counts, there = _videos(p)
    clips = counts.total()
    frames = min(p.faces.frames, p.synthff.frames) if made else p.faces.frames
    side = max(p.synthff.sizes) if made else 554  # as many pixels as 640 x 480
    area = (side / 320) ** 2
    seeds = len(p.study.seeds)

    def pairs(row: str, *splits: str, most: int = frames) -> int:
        """Pairs of these splits that a row is tested on, `most` of a video."""
        methods = [REAL, *p.tested(row)]
        return min(frames, most) * sum(counts[s, m] for s in splits for m in methods)

    def cost(row: str) -> float:
        return each * COST.get(p.rows[row].system, 1)

    def judged(rows: list[str], images: Callable[[str], int]) -> float:
        """Seconds until each row's network has seen so many images."""
        return sum(START + images(row) * FORWARD * cost(row) for row in rows)

    def trained(row: str) -> tuple[float, int]:
        """Seconds of one run that no early stopping ends, and its pairs."""
        t = p.for_row(row).train
        images = 2 if p.rows[row].system == "two_branch" else len(t.qualities)
        # an epoch of all has as many real pairs as forged ones
        whole = 2 * frames * sum(counts["train", m] for m in t.methods)
        seen = (t.epoch_steps * t.batch or whole) * t.most_epochs()
        checked = (t.val_pairs or pairs(row, "val")) * t.most_epochs() * FORWARD
        return (seen + checked) * images * cost(row) + 2 * START, seen

    people = sum(n for _, n in p.synthff.identities)
    drawn = people * PERSON + clips * p.synthff.frames * area * CLIP_FRAME
    yield "videos", f"{clips} clips at {d.high} and {d.low}", START + made * drawn
    what, seconds = f"{clips * frames} pairs of {p.faces.size} px", clips * frames * FACE
    if there:
        one, size = extraction(p, videos.tree(p), there)
        seconds = one * len(there) / p.compute.jobs
        need, free = (n / 2**30 for n in (size * len(there), shutil.disk_usage(_disk(p)).free))
        what += f", {need:.1f} GiB ({free:.0f} are free)"
        if need > free:
            yield "", "the faces do not fit on the disk: make room, or lower faces.frames", 0
    yield "faces", what, START + seconds
    groups = [("2", p.table2.rows, seeds), ("", p.study.rows, seeds)]
    groups += [(f"_{what}", rows, len(s)) for what, (rows, s) in p.further_seeds.items() if s]
    for suffix, rows, runs in groups:
        for row in rows:
            seconds, seen = trained(row)
            what = f"{row}, {runs} seed(s), at most {seen} pairs"
            yield f"train{suffix}", what, runs * seconds
        seconds = runs * judged(rows, lambda row: 2 * pairs(row, "val", "test"))
        yield f"score{suffix}", f"{len(rows)} rows, {d.high} and {d.low}", seconds
    # both states, both qualities
    seconds = judged(a.rows, lambda row: 4 * pairs(row, "test", most=a.frames))
    yield "features", f"{len(a.rows)} rows, {a.frames} frame(s) a test video", seconds
    kinds = 1 + sum(len(levels) for _, levels in r.levels)
    forged = min(r.forgeries or len(p.methods), len(p.methods))
    faces = counts["test", REAL] * (1 + forged) * min(r.frames, frames)
    seconds = START + faces * kinds * r.window * area * COPY
    yield "copies", f"{faces} test faces at {kinds} levels", seconds
    seconds = seeds * judged(r.rows, lambda _: faces * kinds)
    yield "robustness", f"{len(r.rows)} rows, {seeds} seed(s)", seconds
    for stage in ("table2", "table1", "calibrate", "attention", "curves", "report"):
        yield stage, "tables, figures, metrics", DRAW


def _disk(p: Params) -> Path:
    """A folder on the disk of the faces folder."""
    return next(path for path in Paths.of(p).faces.absolute().parents if path.exists())


def _videos(p: Params) -> tuple[Counter, list[Clip]]:
    """Videos by split and method, and those of a set that is not generated which are there."""
    methods = [REAL, *p.data.methods]
    people = dict(p.synthff.identities)
    if p.data.source != "synthff":
        tree = videos.tree(p)
        try:
            clips = tree.clips(p.data.methods)
            there = [clip for clip in clips if tree.video_path(clip, p.data.high).is_file()]
            return Counter((clip.split, clip.method) for clip in clips), there
        except TreeError:
            if p.data.source != "ffpp":
                raise
            people = OFFICIAL
    return Counter({(split, method): n for split, n in people.items() for method in methods}), []
