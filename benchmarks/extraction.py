"""Extraction at scale: is its cost linear, do two workers beat one, what does FaceForensics++ need?

python benchmarks/extraction.py [--videos 500 1000 2000 4000] [--length 500]

Thousands of short generated videos (hard links to a few), and two clips as long and as large as
those of FaceForensics++, from which the whole set is reckoned. About half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import machine
import numpy as np
from joblib.externals.loky import get_reusable_executor

from acfd import params
from acfd.faces import extract
from acfd.faces.crops import ClipResult
from acfd.faces.shards import INDEX, write_index
from acfd.media.video import read_frames, write_video
from acfd.params import Params
from acfd.videos import synthff
from acfd.videos.ffpp import REAL, Clip, Tree, write_splits

HERE = Path(__file__).parent
CLIPS = {REAL: 1000, "forged": 4000}  # FaceForensics++, each at c23 and c40, 4000 with a mask


def with_values(p: Params, **sections: dict) -> Params:
    raw = p.model_dump()
    for section, values in sections.items():
        raw[section] |= values
    return Params(**raw)


def many(p: Params, few: Tree, videos: int, root: Path) -> Tree:
    """A tree of `videos` clips (a multiple of 10), of each person one real and four forged, whose
    files are links to those of `few`."""
    names = [f"{n:05d}" for n in range(videos // 5)]
    pairs = list(zip(names[::2], names[1::2]))
    write_splits(root, {"train": pairs, "val": [], "test": []})
    tree = Tree(root)
    sources: dict[str, list[Clip]] = {}
    for clip in few.clips(p.data.methods):
        sources.setdefault(clip.method, []).append(clip)
    for n, clip in enumerate(tree.clips(p.data.methods)):
        of = sources[clip.method][n % len(sources[clip.method])]
        links = {tree.video_path(clip, q): few.video_path(of, q) for q in ("c23", "c40")}
        if clip.label:
            links[tree.mask_path(clip)] = few.mask_path(of)
        for new, old in links.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            os.link(old, new)
    return tree


def measure(p: Params, tree: Tree, out: Path) -> dict:
    """One extraction, in a process of its own, so that its memory is its own."""
    return alone(_extract, p, tree, out)


def alone(function, *args):
    """Its result, from a fresh process that may have children."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *args).result()


def _extract(p: Params, tree: Tree, out: Path) -> dict:
    began = extract.peak_memory()
    index, left_out, timing = extract.extract(p, tree, out, progress=False)
    # joblib keeps its processes for five idle minutes, and this one cannot end before they do
    get_reusable_executor().shutdown()
    return {
        "seconds": round(timing.wall, 1),
        "pairs": len(index),
        "left_out": len(left_out),
        "most_mib_a_process": timing.memory,
        "this_process_mib": [began, extract.peak_memory()],  # before and after
    }


def growth(p: Params, few: Tree, sizes: list[int], folder: Path) -> dict:
    """Seconds and memory for more and more videos, and for the largest set again, all done."""
    rows = []
    for videos in sizes:
        tree = many(p, few, videos, folder / f"videos{videos}")
        row = {"videos": videos} | measure(p, tree, folder / "faces")
        row["ms_a_video"] = round(1000 * row["seconds"] / videos, 1)
        rows.append(row)
        print(row)
        if videos == sizes[-1]:
            again = measure(p, tree, folder / "faces")["seconds"]
        shutil.rmtree(folder / "faces")
    logs = np.log([[r["videos"] for r in rows], [r["seconds"] for r in rows]])
    return {
        "runs": rows,
        # 1: linear; starting processes costs the small runs more, which makes it less
        "exponent": round(float(np.polyfit(*logs, 1)[0]), 3) if len(rows) > 1 else None,
        "all_done_seconds": again,
    }


def backends(p: Params, tree: Tree, folder: Path) -> dict:
    """Seconds by backend and processes, start of the processes included, and what two gain."""
    found: dict = {}
    for backend in ("joblib", "dask"):
        seconds = {}
        for jobs in (1, 2):
            q = with_values(p, compute={"backend": backend, "jobs": jobs, "scheduler": None})
            seconds[jobs] = measure(q, tree, folder / "faces")["seconds"]
            print(backend, jobs, seconds[jobs])
            shutil.rmtree(folder / "faces")
        found[backend] = {f"jobs_{n}_seconds": s for n, s in seconds.items()}
        found[backend]["two_against_one"] = round(seconds[1] / seconds[2], 2)
    return found


def real_size(p: Params, few: Tree, length: int, folder: Path) -> dict:
    """One real and one forged clip of 640 x 480 and `length` frames, with the ffpp preset's faces,
    and what CLIPS of them are."""
    tree = Tree(folder / "long")
    write_splits(tree.root, {"train": [("000", "001")], "val": [], "test": []})
    given, chosen = ({c.label: c for c in t.clips(p.data.methods)} for t in (few, tree))
    for label, clip in chosen.items():
        shown = _looped(few.video_path(given[label], "c23"), length)
        for quality, crf in (("c23", 23), ("c40", 40)):
            write_video(tree.video_path(clip, quality), shown, 25.0, crf=crf)
        if label:
            shown = _looped(few.mask_path(given[label]), length)
            write_video(tree.mask_path(clip), shown, 25.0, crf=10)
    wanted = {"frames": min(270, length), "size": 299, "detect_size": 480, "choice": "even"}
    q = with_values(p, faces=wanted)
    found: dict = {"frames_a_clip": length, "faces": wanted}
    hours = gib = 0.0
    for label, name in ((0, REAL), (1, "forged")):
        out = folder / "long_faces"
        result = extract.extract_clip(tree, chosen[label], q.faces, "c23", "c40", out)
        t = result.timing
        stages = {k: round(getattr(t, k), 2) for k in ("hash", "decode", "detect", "crop", "write")}
        (shard,) = out.glob(f"*/{chosen[label].video}.arrow")
        found[name] = {"pairs": len(result.frames), "seconds": stages}
        found[name]["mib"] = round(shard.stat().st_size / 2**20, 1)
        hours += CLIPS[name] * sum(stages.values()) / 3600
        gib += CLIPS[name] * shard.stat().st_size / 2**30
    found["faceforensics"] = {
        "core_hours": round(hours, 1),
        "disk_gib": round(gib),
        "hours_by_cores": {n: round(hours / n, 1) for n in (2, 16, 64, 256)},
    }
    return found


def _looped(path: Path, length: int) -> list[np.ndarray]:
    """A clip's frames, there and back again, in the middle of 640 x 480."""
    frames = [f for _, f in read_frames(path)]
    there_and_back = [*frames, *frames[-2:0:-1]]
    shown = []
    for n in range(length):
        frame = np.zeros((480, 640, 3), np.uint8)
        frame[:, 80:560] = cv2.resize(there_and_back[n % len(there_and_back)], (480, 480))
        shown.append(frame)
    return shown


def index_of_all(folder: Path) -> dict:
    """MiB that the process that hands out the clips takes for the index of CLIPS x 270 pairs."""
    return alone(_index, folder)


def _index(folder: Path) -> dict:
    before = extract.peak_memory()
    results = [
        ClipResult(Clip("Deepfakes", f"{n}_{n + 1}", f"{n}", f"{n + 1}", "train"),
                   frames=list(range(270)))
        for n in range(sum(CLIPS.values()))
    ]  # fmt: skip
    index = extract._index(results)
    write_index(folder, index)
    size = (folder / INDEX).stat().st_size
    return {"pairs": len(index), "mib": extract.peak_memory() - before, "file_kib": size >> 10}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--length", type=int, default=500, help="frames of the two long clips")
    parser.add_argument("--to", type=Path, default=HERE / "results" / "extraction-cpu.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        p = with_values(
            params.load(HERE.parent / "params.yaml"),
            data={"source": "synthff", "root": str(folder / "few")},
            synthff={"identities": {"train": 2, "val": 2, "test": 4}, "size": 160, "frames": 8},
            faces={"frames": 4, "size": 96, "detect_size": 160},
            compute={"jobs": 2, "backend": "joblib"},
        )
        synthff.build(p, folder / "few", scratch=folder / "scratch")
        few = Tree(folder / "few")
        said = {"growth": growth(p, few, args.videos, folder)}
        middle = args.videos[len(args.videos) // 2]
        said["backends"] = {"videos": middle}
        said["backends"] |= backends(p, Tree(folder / f"videos{middle}"), folder)
        said["real_size"] = real_size(p, few, args.length, folder)
        said["index_of_all"] = index_of_all(folder)
    machine.write(said, args.to)


if __name__ == "__main__":
    main()
