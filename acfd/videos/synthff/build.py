"""Build SynthFF's tree: people, then each person's real clip and the forgeries of it."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from acfd import sources
from acfd.media.video import LOSSLESS, write_video
from acfd.params import Params, digest
from acfd.paths import SCRATCH, atomic
from acfd.sections import SynthFF
from acfd.videos.ffpp import REAL, Clip, Tree, write_splits
from acfd.videos.synthff import forgeries, motion, people, varieties

CODECS = {"raw": LOSSLESS, "c23": {"crf": 23}, "c40": {"crf": 40}}
MASK_CODEC = {"crf": 8, "preset": "veryfast"}
STAMP = "synthff.json"


class BuildError(RuntimeError):
    """The tree cannot be built where it was asked for; the message says why."""


def pairs(params: SynthFF) -> dict[str, list[tuple[str, str]]]:
    """The split: consecutive people are a pair, train first, then val, then test."""
    found, start = {}, 0
    for split, count in params.identities:
        firsts = range(start, start + count, 2)
        found[split] = [(f"{i:03d}", f"{i + 1:03d}") for i in firsts]
        start += count
    return found


def build(params: Params, root: Path, *, progress: bool = True, scratch: Path = SCRATCH) -> None:
    """Make the tree at `root`: real clips and those of params.data.methods, raw, c23, c40, masks.
    It follows from params.synthff; what is there already is kept, so a build that was killed goes
    on, and a tree of other parameters or other code is removed first. scratch: where people are
    kept until the tree is whole. Raises BuildError if `root` holds videos that SynthFF did not
    make, or for a method that it does not have; WheelError without the face generator."""
    root, p = Path(root), params.synthff
    if unknown := [m for m in params.data.methods if m not in varieties.METHODS]:
        raise BuildError(
            f"data.methods names {unknown}, which SynthFF does not have; "
            f"it has: {', '.join(varieties.METHODS)}"
        )
    said = {"code": sources.made_by("videos"), "synthff": p.model_dump()}
    said["digest"] = digest(said)
    _prepare(root, json.dumps(said, indent=1, sort_keys=True) + "\n")
    for leftover in root.rglob(".*.tmp.mp4"):  # of a build that was killed while writing
        leftover.unlink()
    write_splits(root, pairs(p))
    tree = Tree(root)
    clips = tree.clips(params.data.methods)
    lacking = [c for c in clips if not all(path.exists() for path in _outputs(tree, c).values())]
    if not lacking:
        return
    by_pair: dict[int, list[Clip]] = {}
    for clip in lacking:
        by_pair.setdefault(int(clip.target) // 2, []).append(clip)
    folder, side = cast(p, scratch)
    tasks = (delayed(_make)(root, clips, p, folder, side) for clips in by_pair.values())
    done = Parallel(n_jobs=params.compute.jobs, return_as="generator_unordered")(tasks)
    with tqdm(total=len(lacking), desc="clips", unit="clip", disable=not progress) as bar:
        for count in done:
            bar.update(count)
    shutil.rmtree(folder, ignore_errors=True)


def cast(p: SynthFF, scratch: Path = SCRATCH) -> tuple[Path, int]:
    """Where the rendered people are kept while they are needed, and their side in pixels."""
    side = min(people.SIDE, round(1.2 * max(p.sizes)))
    made_by = digest([sources.made_by("videos"), p.seed, side])
    return (Path(scratch) / "people" / made_by).resolve(), side


def _prepare(root: Path, said: str) -> None:
    """Leave at `root` only what was made by the same recipe and parameters: with this stamp."""
    stamp, going = root / STAMP, root / f"{STAMP}.old"
    ours = [root / name for name in ("original_sequences", "manipulated_sequences", "splits")]
    if stamp.exists():
        if stamp.read_text() == said:
            return
        stamp.replace(going)  # in one step: a kill must not leave videos that nobody made
    if going.exists():
        for path in ours:
            shutil.rmtree(path, ignore_errors=True)
        going.unlink()
    elif found := [str(path) for path in ours[:2] if path.exists()]:
        raise BuildError(
            f"{', '.join(found)} exists, but {stamp} does not: SynthFF did not make it and will "
            "not write into it; set data.root to another folder, or data.source to ffpp"
        )
    with atomic(stamp) as path:
        path.write_text(said)


def _outputs(tree: Tree, clip: Clip) -> dict[str, Path]:
    paths = {c: tree.video_path(clip, c) for c in CODECS}
    return paths | ({"masks": tree.mask_path(clip)} if clip.label else {})


def _make(root: Path, clips: list[Clip], p: SynthFF, folder: Path, side: int) -> int:
    """Draw two partners and film them, then write those of their clips that are asked for. Returns
    their number."""
    cv2.setNumThreads(1)
    pair = int(clips[0].target) // 2
    people.make_pair(folder, pair, p.seed, side)
    both = {who: people.load_person(folder, who) for who in (2 * pair, 2 * pair + 1)}
    for who in both:
        if own := [clip for clip in clips if int(clip.target) == who]:
            _film(Tree(root), own, p, both)
    return len(clips)


def _film(tree: Tree, clips: list[Clip], p: SynthFF, both: dict[int, people.Person]) -> None:
    """Film one person, and write some of its clips."""
    who = int(clips[0].target)
    person = both[who]
    rng = np.random.default_rng([p.seed, who, 2])
    size = p.sizes[who // 2 % len(p.sizes)]
    scene = motion.draw_scene(rng, p.variety, size, p.frames, person.points[people.BASE])
    take = motion.film(scene, person, rng)
    for clip in clips:
        if clip.method == REAL:
            _write(tree, clip, take.frames, [], p.fps)
            continue
        number = varieties.METHODS.index(clip.method)
        rng = np.random.default_rng([p.seed, who, 3, number])
        strength = p.strength.get(clip.method, 1)  # of narrow's programs; Wide has none
        drawn = varieties.draw(clip.method, p.variety, strength, rng)
        frames, masks = zip(*forgeries.forge(take, both[int(clip.source)], drawn, rng))
        _write(tree, clip, frames, masks, p.fps)


def _write(tree: Tree, clip: Clip, frames: list, masks: list, fps: float) -> None:
    for what, path in _outputs(tree, clip).items():
        if not path.exists():
            shown, how = (masks, MASK_CODEC) if what == "masks" else (frames, CODECS[what])
            write_video(path, shown, fps, **how)
