"""What is there of a FaceForensics++ tree, and what is wrong with it, before hours of work.

Every file is looked at: that it is there, that it is whole, and what its header promises. Whether
all of it can be decoded is only seen by decoding it, which takes about as long as the extraction,
so that is done for a sample of the clips, or for all of them if asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from acfd import datasets
from acfd.datasets.headers import header
from acfd.ffpp import METHODS, REAL, Clip, Tree, TreeError, download, mask_there
from acfd.params import Params
from acfd.video import VideoError, VideoInfo, read_frames

SCRIPT = "python faceforensics_download_v4.py"
SAMPLE = 12  # clips whose files are decoded to their end
_CHUNK = 32  # clips a task
PROBLEMS = ["video", "method", "kind", "what"]
KINDS = ("missing", "damaged", "size", "rate", "frames")


class CheckError(ValueError):
    """A tree that cannot be studied as it is; the message says what is missing."""


@dataclass(frozen=True)
class Survey:
    """What was found. All tables are in the order of the splits' clips."""

    tree: Tree
    high: str
    low: str
    clips: list[Clip]
    found: dict[Clip, dict[str, VideoInfo | VideoError | None]]  # None: there is no such file
    folders: pd.DataFrame  # a row a part and quality: expected, there, bytes, missing, bring
    problems: pd.DataFrame  # video, method, kind (one of KINDS), what
    notes: list[str]  # nothing that would be left out, but worth knowing

    @property
    def sound(self) -> list[Clip]:
        """Clips of which nothing is missing, damaged or of another size: extraction uses them."""
        bad = set(zip(self.problems["method"], self.problems["video"], self.problems["kind"]))
        kinds = ("missing", "damaged", "size")
        return [c for c in self.clips if not any((c.method, c.video, k) in bad for k in kinds)]

    def frames(self, clip: Clip) -> int:
        """Frames that all files of a sound clip have."""
        return min(info.frames for info in self.found[clip].values())

    def index(self) -> pd.DataFrame:
        """One row a clip: who, split, label, frames, width, height, fps, bytes_high, bytes_low.

        A video that is missing or unreadable has zeros there; `problems` says what is wrong.
        """
        rows = []
        for clip in self.clips:
            row = {name: getattr(clip, name) for name in ("method", "video", "target", "source")}
            row |= {"split": clip.split, "label": clip.label}
            info = self.found[clip][self.high]
            for name in ("frames", "width", "height", "fps"):
                row[name] = getattr(info, name) if isinstance(info, VideoInfo) else 0
            for name, quality in (("bytes_high", self.high), ("bytes_low", self.low)):
                path = self.tree.video_path(clip, quality)
                row[name] = path.stat().st_size if path.is_file() else 0
            rows.append(row)
        return pd.DataFrame(rows).astype({"fps": float})

    def demand(self) -> None:
        """Raises CheckError if some method, or the real videos, have no sound clip in a split."""
        have = {(c.method, c.split) for c in self.sound}
        wanted = dict.fromkeys((c.method, c.split) for c in self.clips)
        if lacking := [
            f"{method} in {split}" for method, split in wanted if (method, split) not in have
        ]:
            raise CheckError(
                f"{self.tree.root}: not one usable video of {', '.join(lacking)}; `acfd check` "
                "says what is missing and which download brings it"
            )


def survey(
    tree: Tree,
    methods: Iterable[str],
    high: str,
    low: str,
    *,
    wanted: int = 0,
    decode: int | None = SAMPLE,
    jobs: int = 1,
    progress: bool = True,
) -> Survey:
    """Look at every file that the splits name, on `jobs` processes.

    wanted: frames a video is to give (params.faces.frames); files of unlike length are a problem
    if fewer are left, else a note. decode: how many clips to decode to their end; None: all.

    Raises TreeError for a root that is no such tree, and for bad, missing or empty split files.
    """
    _check_root(Path(tree.root))
    methods = list(methods)
    clips = tree.clips(methods)
    if not clips:
        raise TreeError(f"{tree.root}: its split files name no video; expected pairs of ids")
    paths = [_paths(tree, clip, high, low) for clip in clips]
    every = len(clips) if decode is None else min(decode, len(clips))
    decoded = set(np.linspace(0, len(clips) - 1, every).round().astype(int).tolist())
    tasks = [(i, paths[i], i in decoded) for i in range(len(clips))]
    chunks = [tasks[i : i + _CHUNK] for i in range(0, len(tasks), _CHUNK)]
    looked: dict[int, dict] = {}
    with tqdm(total=len(clips), desc="check", unit="video", disable=not progress) as bar:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for done in parallel(joblib.delayed(_look)(chunk) for chunk in chunks):
            looked |= done
            bar.update(len(done))
    found = {clip: looked[i] for i, clip in enumerate(clips)}

    problems, notes = [], []
    for clip in clips:
        for kind, what in _judge(found[clip], high, low, wanted):
            if kind == "note":
                notes.append(f"{clip}: {what}")
            else:
                problems.append((clip.video, clip.method, kind, what))
    folders = _folders(tree, clips, paths, found)
    for method in methods:
        if not (folders[folders["part"] == method]["what"] == "mask").any():
            options = download(method, "mask")
            notes.append(
                f"{method}: there are no masks: rows that learn from masks (loss.at) cannot be "
                "trained on it, and no map can be compared with one. The official download has "
                + (f"them: {SCRIPT} {tree.root} {options}" if options else "none")
            )
    notes += _strays(tree, clips, paths) + _unused(tree, methods)
    table = pd.DataFrame(problems, columns=PROBLEMS, dtype=object)
    return Survey(tree, high, low, clips, found, folders, table, notes)


def look(params: Params) -> tuple[pd.DataFrame, pd.DataFrame, list[Clip]]:
    """Problems, index and usable clips of the data set that params.data names, whichever it is.

    Raises TreeError or CheckError for one that cannot be studied.
    """
    d = params.data
    tree = datasets.tree(params)
    if isinstance(tree, datasets.FileSet):
        problems, index = tree.look(d.methods, d.high, d.low, jobs=params.compute.jobs)
        bad = set(zip(problems["method"], problems["video"]))
        sound = [c for c in tree.clips(d.methods) if (c.method, c.video) not in bad]
        return problems, index, sound
    found = survey(
        tree, d.methods, d.high, d.low, wanted=params.faces.frames, jobs=params.compute.jobs
    )
    found.demand()
    return found.problems, found.index(), found.sound


def stored(tree: Tree | datasets.FileSet, clips: list[Clip], qualities: Iterable[str]) -> list[str]:
    """Those of the qualities that all these clips have files of, not made in extraction."""
    made = tree.recipe if isinstance(tree, datasets.FileSet) else lambda _: None
    return [
        q for q in qualities if not made(q) and all(tree.video_path(c, q).is_file() for c in clips)
    ]


def report(found: Survey, most: int | None = None) -> str:
    """All of it as text: folders, what brings the missing, at most `most` problems and notes."""
    folders = found.folders.assign(GiB=(found.folders["bytes"] / 2**30).round(2))
    columns = ["part", "what", "expected", "there", "missing", "GiB"]
    blocks = [folders[columns].to_string(index=False)]
    if brings := [b for b in dict.fromkeys(folders[folders["missing"] > 0]["bring"]) if b]:
        blocks.append("\n  ".join(["what is missing is brought by", *brings]))
    listed = _grouped(found.problems)
    for lines in (listed, found.notes):
        blocks.append("\n".join(lines[:most]))
        if most and len(lines) > most:
            blocks.append(f"... and {len(lines) - most} more; acfd check --all lists them")
    whole = f"{len(found.sound)} of {len(found.clips)} clips can be used"
    blocks.append(f"{whole}, {len(found.problems)} problems below {found.tree.root}")
    return "\n\n".join(block for block in blocks if block)


def _grouped(problems: pd.DataFrame, many: int = 3) -> list[str]:
    """A line a problem; more than `many` of one method that read the same are one line."""
    lines = []
    for (method, what), of in problems.groupby(["method", "what"], sort=False):
        if len(of) > many:
            lines.append(f"{method}: {what}: {len(of)} videos, the first {of['video'].iloc[0]}")
        else:
            lines += [f"{method}/{video}: {what}" for video in of["video"]]
    return lines


def _check_root(root: Path) -> None:
    parts = ("original_sequences", "manipulated_sequences")
    if root.is_dir() and any((root / part).is_dir() for part in parts):
        return
    near = [root.parent] if root.parent.is_dir() else []
    near += [p for p in sorted(root.iterdir()) if p.is_dir()] if root.is_dir() else []
    hint = next((f"; did you mean {p}?" for p in near if (p / parts[0]).is_dir()), "")
    what = "has neither of them" if root.is_dir() else "is no folder"
    raise TreeError(
        f"data.root {root}: expected the folder with {' and '.join(parts)}, it {what}{hint}. Set "
        "data.root in params.yaml; docs/faceforensics.md says how to get FaceForensics++; SynthFF "
        "is made by `dvc repro`"
    )


def _paths(tree: Tree, clip: Clip, high: str, low: str) -> dict[str, Path]:
    paths = {high: tree.video_path(clip, high), low: tree.video_path(clip, low)}
    if mask := mask_there(tree, clip):
        paths["mask"] = mask
    return paths


def _look(tasks: list[tuple[int, dict[str, Path], bool]]) -> dict[int, dict]:
    """For each task: what each of its files is, or why it cannot be used; None: not there."""
    found: dict[int, dict] = {}
    for number, paths, decode in tasks:
        found[number] = {}
        for what, path in paths.items():
            try:
                info = header(path) if path.is_file() else None
                if info and decode:
                    deque(read_frames(path, [info.frames - 1]), maxlen=0)
                found[number][what] = info
            except VideoError as error:
                found[number][what] = error
    return found


def _judge(found: dict, high: str, low: str, wanted: int) -> list[tuple[str, str]]:
    """(kind, what) of everything that is wrong with one clip."""
    said = []
    if missing := [what for what, info in found.items() if info is None]:
        said.append(("missing", f"no {', '.join(missing)}"))
    said += [
        ("damaged", f"{w}: {info}") for w, info in found.items() if isinstance(info, VideoError)
    ]
    infos = {what: info for what, info in found.items() if isinstance(info, VideoInfo)}

    def differ(of, among=infos):
        texts = {what: str(of(info)) for what, info in infos.items() if what in among}
        listed = ", ".join(f"{what} {text}" for what, text in texts.items())
        return listed if len(set(texts.values())) > 1 else ""

    if sizes := differ(lambda i: f"{i.width}x{i.height}"):
        said.append(("size", f"sizes differ: {sizes}"))
    if rates := differ(lambda i: f"{i.fps:.6g}", (high, low)):
        said.append(("rate", f"frame rates differ: {rates}: is it the same video?"))
    if counts := differ(lambda i: i.frames):
        common = min(info.frames for info in infos.values())
        kind = "frames" if common < wanted else "note"
        said.append((kind, f"frames differ: {counts}: only the first {common} can be used"))
    return said


def _folders(tree: Tree, clips, paths, found) -> pd.DataFrame:
    """A row a part (the real videos, each method) and quality, the masks being the last of it."""
    rows: dict[tuple[str, str], dict] = {}
    for clip, of in zip(clips, paths):
        for what, path in of.items():
            options = download(clip.method, what)
            row = rows.setdefault(
                (clip.method, what),
                {"part": clip.method, "what": what, "expected": 0, "there": 0, "bytes": 0}
                | {"missing": 0, "bring": f"{SCRIPT} {tree.root} {options}" if options else ""},
            )
            row["expected"] += 1
            if found[clip][what] is None:
                row["missing"] += 1
            else:
                row["there"] += 1
                row["bytes"] += path.stat().st_size
    order = [REAL, *dict.fromkeys(clip.method for clip in clips if clip.label)]
    return pd.DataFrame(sorted(rows.values(), key=lambda row: order.index(row["part"])))


def _strays(tree: Tree, clips: list[Clip], paths: list[dict[str, Path]]) -> list[str]:
    """Notes about files beside those that the splits name."""
    expected: dict[Path, set[str]] = {}
    for of in paths:
        for path in of.values():
            expected.setdefault(path.parent, set()).add(path.name)
    notes = []
    for folder, names in expected.items():
        there = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
        if strays := sorted(there - names):
            shown = ", ".join(strays[:3]) + (", ..." if len(strays) > 3 else "")
            where = folder.relative_to(tree.root)
            notes.append(f"{where}: {len(strays)} files that the splits do not name: {shown}")
    return notes


def _unused(tree: Tree, methods: list[str]) -> list[str]:
    root = Path(tree.root)
    there = [
        m for m in METHODS if (root / "manipulated_sequences" / m).is_dir() and m not in methods
    ]
    notes = [f"manipulated_sequences/{m}: not in data.methods, so not used" for m in there]
    if (root / "original_sequences" / "actors").is_dir():
        notes.append("original_sequences/actors: belongs to DeepFakeDetection, which is not used")
    return notes
