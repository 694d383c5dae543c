"""What is there of a data set, and what is wrong with it, before hours of work. Of every file it is
seen that it is there and whole, by reading it through; a sample of the clips is decoded, or all if
asked for, which takes about as long as the extraction."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from acfd import videos
from acfd.media.video import VideoError, VideoInfo, probe, read_frames
from acfd.params import Params
from acfd.videos import FileClip, FileSet
from acfd.videos.ffpp import Clip, Tree, TreeError, download, mask_there

SCRIPT = "python faceforensics_download_v4.py"
SAMPLE = 12  # clips whose files are decoded to their end
WHO = ("method", "video", "target", "source", "split", "label")
HELD = ("frames", "width", "height", "fps")
UNUSABLE = ("missing", "damaged", "size")  # kinds; the others are rate, frames and unknown


class CheckError(ValueError):
    """A set that cannot be studied as it is; the message says what is missing."""


@dataclass(frozen=True)
class Survey:
    """What was found. All tables are in the order of the splits' clips."""

    tree: Tree | FileSet
    high: str
    low: str
    clips: list[Clip]
    # by quality, "mask", or "stored" for what a quality is made of; None: there is no such file
    found: dict[Clip, dict[str, VideoInfo | VideoError | None]]
    folders: pd.DataFrame  # a row a part and quality (what): expected, there, bytes, missing
    problems: pd.DataFrame  # video, method, kind, what
    notes: list[str]  # nothing that would be left out, but worth knowing

    @property
    def sound(self) -> list[Clip]:
        """Clips of which nothing is missing, damaged or of another size: extraction uses them."""
        bad = self.problems[self.problems["kind"].isin(UNUSABLE)]
        names = set(zip(bad["method"], bad["video"]))
        return [c for c in self.clips if (c.method, c.video) not in names]

    def index(self) -> pd.DataFrame:
        """One row a clip: who, split, label, frames, width, height, fps, bytes_high, bytes_low;
        zeros for a missing or unreadable video, and for the bytes of a quality that is made."""
        rows = []
        for clip, infos in self.found.items():
            row = {name: getattr(clip, name) for name in WHO}
            row |= {name: getattr(next(iter(infos.values())), name, 0) for name in HELD}
            for name, quality in (("bytes_high", self.high), ("bytes_low", self.low)):
                row[name] = _size(self.tree.video_path(clip, quality)) if quality in infos else 0
            rows.append(row)
        return pd.DataFrame(rows).astype({"fps": float})

    def demand(self) -> None:
        """Raises CheckError if some method, or the real videos, have no sound clip in a split."""
        usable = {(clip.method, clip.split) for clip in self.sound}
        every = dict.fromkeys((clip.method, clip.split) for clip in self.clips)
        if lacking := [" in ".join(part) for part in every if part not in usable]:
            raise CheckError(
                f"{self.tree.root}: not one usable video of {', '.join(lacking)}; `acfd check` "
                "says what is missing and which download brings it"
            )


def survey(
    tree: Tree | FileSet,
    methods: Iterable[str],
    high: str,
    low: str,
    *,
    wanted: int = 0,
    decode: int | None = SAMPLE,
    jobs: int = 1,
    progress: bool = True,
) -> Survey:
    """Look at every file that the splits name, on `jobs` processes. wanted: frames a video is to
    give (params.faces.frames); files of unlike length are a problem if fewer are left, else a note.
    decode: how many clips to decode to their end; None: all. Raises TreeError for a root that is no
    such set, and for bad, missing or empty split files."""
    official, methods = isinstance(tree, Tree), list(methods)
    if official and not any(Path(tree.root).glob("*_sequences")):
        raise TreeError(
            f"data.root {tree.root}: no folder original_sequences or manipulated_sequences there. "
            "Set data.root in params.yaml; docs/faceforensics.md says how to get FaceForensics++"
        )
    clips = tree.clips(methods)
    if not clips:
        raise TreeError(f"{tree.root}: its split files name no video; expected pairs of ids")
    paths = [_paths(tree, clip, high, low) for clip in clips]
    every = len(clips) if decode is None else min(decode, len(clips))
    decoded = set(np.linspace(0, len(clips) - 1, every).round().astype(int).tolist())
    looked = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(_look)(of, i in decoded) for i, of in enumerate(paths)
    )
    bar = tqdm(looked, total=len(clips), desc="check", unit="video", disable=not progress)
    found = dict(zip(clips, list(bar)))

    said = [(clip, *line) for clip in clips for line in _judge(clip, found[clip], wanted)]
    problems = [(c.video, c.method, kind, what) for c, kind, what in said if kind != "note"]
    notes = [f"{clip}: {what}" for clip, kind, what in said if kind == "note"]
    folders = _folders(clips, paths)
    if official:
        forged = Counter(clip.method for clip in clips)
        none = Counter(c.method for c in clips if c.label and not mask_there(tree, c))
        notes += [
            f"{method}: {n} of {forged[method]} forged videos have no mask: their largest face is "
            "followed, and rows that learn from masks (loss.at) cannot be trained on them; brought "
            f"by: {_bring(tree, method, 'mask') or 'nothing, it has none'}"
            for method, n in none.items()
        ]
    else:
        why = "passed over: no video or image that is known; convert it, or move it away"
        problems += [(file, method, "unknown", why) for file, method in tree.passed_over()]
    table = pd.DataFrame(problems, columns=["video", "method", "kind", "what"], dtype=object)
    # the name of a file may be any bytes, and pandas groups by UTF-8 alone
    table = table.map(lambda text: text.encode(errors="backslashreplace").decode())
    return Survey(tree, high, low, clips, found, folders, table, notes)


def look(params: Params) -> tuple[pd.DataFrame, pd.DataFrame, list[Clip]]:
    """Problems, index and usable clips of the data set that params.data names. Raises TreeError or
    CheckError for one that cannot be studied."""
    d, how = params.data, {"wanted": params.faces.frames, "jobs": params.compute.jobs}
    found = survey(videos.tree(params), d.methods, d.high, d.low, **how)
    found.demand()
    return found.problems, found.index(), found.sound


def stored(tree: Tree | FileSet, clips: list[Clip], qualities: Iterable[str]) -> list[str]:
    """Those of the qualities that all these clips have files of, not made in extraction."""
    there = [q for q in qualities if not tree.recipe(q)]
    return [q for q in there if all(tree.video_path(c, q).is_file() for c in clips)]


def forged_and_real(
    tree: Tree | FileSet, methods: Iterable[str], qualities: Sequence[str]
) -> dict[str, Path]:
    """A forged test clip and the one that it was made of, or any real one where nobody knows which
    that is, at each of these qualities that both have files of: "forged, c40" -> file."""
    tests = [c for c in tree.clips(methods) if c.split == "test"]
    forged = next(c for c in tests if c.label)
    reals = [c for c in tests if not c.label]
    real = next((c for c in reals if c.target == forged.target), reals[0])
    there = {q: q for q in stored(tree, [forged, real], qualities)}
    return {
        f"{kind}, {name}": tree.video_path(clip, quality)
        for kind, clip in (("forged", forged), ("real", real))
        for name, quality in (there or {"as stored": qualities[0]}).items()
    }


def report(found: Survey, most: int | None = None) -> str:
    """All of it as text: folders, what brings the missing, at most `most` problems and notes."""
    folders = found.folders.assign(GiB=(found.folders["bytes"] / 2**30).round(2))
    columns = ["part", "what", "expected", "there", "missing", "GiB"]
    blocks = [folders[columns].to_string(index=False)]
    lacking = folders[folders["missing"] > 0]
    brings = [_bring(found.tree, *which) for which in zip(lacking["part"], lacking["what"])]
    if any(brings):
        blocks.append("\n  ".join(["what is missing is brought by", *filter(None, brings)]))
    by = ["method", "what"] if most else ["method", "what", "video"]
    alike = found.problems.groupby(by, sort=False)["video"].agg(["first", "size"])
    problems = [
        f"{method}/{first}: {what}" + (f" (and {n - 1} more videos)" if n > 1 else "")
        for (method, what, *_), first, n in alike.itertuples()
    ]
    for lines in (problems, found.notes):
        blocks.append("\n".join(lines[:most]))
        if most and len(lines) > most:
            blocks.append(f"... and {len(lines) - most} more; acfd check --all lists them")
    whole = f"{len(found.sound)} of {len(found.clips)} clips can be used"
    blocks.append(f"{whole}, {len(found.problems)} problems below {found.tree.root}")
    return "\n\n".join(block for block in blocks if block)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _bring(tree: Tree | FileSet, method: str, what: str) -> str:
    """The call of the official script that brings a part; "" if there is none."""
    options = download(method, what) if isinstance(tree, Tree) else ""
    return f"{SCRIPT} {tree.root} {options}" if options else ""


def _paths(tree: Tree | FileSet, clip: Clip, high: str, low: str) -> dict[str, Path]:
    paths = {"stored" if tree.recipe(q) else q: tree.video_path(clip, q) for q in (high, low)}
    if "stored" in paths and len(set(paths.values())) < len(paths):
        del paths["stored"]  # one quality is as stored
    mask = tree.mask_path(clip)
    return paths | ({"mask": mask} if mask and mask.parent.is_dir() else {})


def _look(paths: dict[str, Path], decode: bool) -> dict[str, VideoInfo | VideoError | None]:
    """What each file is, or why it cannot be used; None: not there."""
    found = {}
    for what, path in paths.items():
        try:
            found[what] = info = probe(path) if path.is_file() else None
            if info and decode:
                deque(read_frames(path, [info.frames - 1]), maxlen=0)
        except VideoError as error:
            found[what] = error
    return found


def _folders(clips: list[Clip], paths: list[dict[str, Path]]) -> pd.DataFrame:
    rows = [(c.method, what, path) for c, of in zip(clips, paths) for what, path in of.items()]
    files = pd.DataFrame(rows, columns=["part", "what", "path"])
    files = files.assign(there=files["path"].map(Path.is_file), bytes=files["path"].map(_size))
    grouped = files.groupby(["part", "what"], sort=False)
    folders = grouped[["there", "bytes"]].sum().assign(expected=grouped.size()).reset_index()
    return folders.assign(missing=folders["expected"] - folders["there"])


def _judge(clip: Clip, found: dict, wanted: int) -> list[tuple[str, str]]:
    """(kind, what) of everything that is wrong with one clip."""
    infos = {what: info for what, info in found.items() if isinstance(info, VideoInfo)}
    broken = {what: error for what, error in found.items() if isinstance(error, VideoError)}
    said = [("damaged", f"{what}: {error}") for what, error in broken.items()]
    if missing := sorted(w for w, info in found.items() if info is None and w != "mask"):
        of = f" of {clip.file}" if isinstance(clip, FileClip) else ""
        said.append(("missing", f"no {', '.join(missing)}{of}"))
    common = min((info.frames for info in infos.values()), default=0)
    differ = (  # the longer side first: a copy may be stored turned, with no matrix that says so
        ("size", "sizes", lambda i: f"{max(i.width, i.height)}x{min(i.width, i.height)}", ""),
        ("rate", "frame rates", lambda i: f"{i.fps:.6g}", ": is it the same video?"),
        ("frames", "frames", lambda i: i.frames, f": only the first {common} can be used"),
    )
    for kind, name, text, more in differ:
        texts = {w: str(text(i)) for w, i in infos.items() if (kind, w) != ("rate", "mask")}
        if len(set(texts.values())) > 1:
            listed = ", ".join(f"{what} {text}" for what, text in texts.items())
            kind = "note" if kind == "frames" and common >= wanted else kind
            said.append((kind, f"{name} differ: {listed}{more}"))
    return said
