"""Recipes: what determines the videos, the faces and the copies of a study, small and in git.
Generated pixels differ in last bits from CPU to CPU, so later stages depend on
results/<preset>/recipes/<what>.json instead: parameters, the digest of the code behind them, and of
files that are not generated their sizes and contents."""

import json
from pathlib import Path

import joblib
import pandas as pd

from acfd import sources
from acfd.params import Params, digest
from acfd.paths import Paths, atomic, sha256
from acfd.videos import tree as tree_of

LIST = "files.csv"  # in the videos folder, of a data set that is not generated
TESTED_ON = {"frames", "forgeries", "window", "levels"}  # of params.robustness


def videos(p: Params, paths: Paths) -> str:
    """Write the recipe of the videos that params.data names; returns its digest. Files that are not
    generated are read, and listed with size and SHA-256 in <paths.videos>/files.csv."""
    said = {"source": p.data.source, "methods": p.data.methods}
    if p.data.source == "synthff":
        said |= {"synthff": p.synthff.model_dump(mode="json"), "code": sources.made_by("videos")}
    else:
        said |= _files(p, paths.videos / LIST)
    return _write(said, paths.recipe("videos"))


def faces(p: Params, paths: Paths) -> str:
    """The same of the faces; that of the videos is made if it is not there."""
    of = key(paths, "videos") or videos(p, paths)
    said = {"videos": of, "high": p.data.high, "low": p.data.low}
    said |= {"faces": p.faces.model_dump(mode="json"), "code": sources.made_by("faces")}
    return _write(said, paths.recipe("faces"))


def copies(p: Params, paths: Paths, note: dict) -> str:
    """The same of the degraded copies; note: what they were made of, and what was left out."""
    said = {what: key(paths, what) for what in ("videos", "faces")} | note
    said |= p.robustness.model_dump(mode="json", include=TESTED_ON)
    said |= {"code": sources.made_by("copies")}
    return _write(said, paths.recipe("copies"))


def key(paths: Paths, what: str) -> str:
    """The digest of a recipe; "" if it is not there."""
    path = paths.recipe(what)
    return json.loads(path.read_text())["digest"] if path.is_file() else ""


def _write(said: dict, path: Path) -> str:
    said = {**said, "digest": digest(said)}
    with atomic(path) as f:
        f.write_text(json.dumps(said, indent=1) + "\n")
    return said["digest"]


def _files(p: Params, target: Path) -> dict:
    columns = ["method", "video", "target", "source", "split", "what", "bytes", "sha256"]
    tree, d, used = tree_of(p), p.data, []
    for clip in tree.clips(d.methods):
        of = {q: tree.video_path(clip, q) for q in (d.high, d.low)} | {"mask": tree.mask_path(clip)}
        who = [getattr(clip, name) for name in columns[:5]]
        used += [([*who, what], path) for what, path in of.items() if path and path.is_file()]
    contents = joblib.Parallel(n_jobs=p.compute.jobs, prefer="threads")(
        joblib.delayed(_content)(path) for _, path in used
    )
    rows = [[*who, *content] for (who, _), content in zip(used, contents)]
    found = pd.DataFrame(rows, columns=columns)
    with atomic(target) as f:
        found.to_csv(f, index=False, lineterminator="\n")
    listed = _content(target)[1]
    return {"files": len(found), "bytes": int(found["bytes"].sum()), "list": listed}


def _content(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256(path)
