"""The FaceForensics++ tree: where a clip's videos and its mask lie, who is in which split.

    <root>/original_sequences/youtube/<compression>/videos/000.mp4
    <root>/manipulated_sequences/<method>/<compression>/videos/000_003.mp4
    <root>/manipulated_sequences/<method>/masks/videos/000_003.mp4
    <root>/splits/train.json  val.json  test.json      [["000", "003"], ...]

A forged video is named TARGET_SOURCE: the person whose video it is, then whose face went in. A pair
[a, b] of a split stands for the real videos a and b and the forged ones a_b and b_a of each method
(github.com/ondyari/FaceForensics)."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field, TypeAdapter, ValidationError

from acfd.paths import atomic
from acfd.sections import Method

REAL = "original"
METHODS: tuple[str, ...] = get_args(Method)
MASKLESS = ("FaceShifter",)  # the download script refuses `-t masks` for it
SHARES = {"train": 0.72, "val": 0.14, "test": 0.14}  # of the official split, 1000 real videos
SPLITS = tuple(SHARES)
# ids become file names, so nothing that could lead out of a folder may pass
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$")]
_PAIRS = TypeAdapter(list[tuple[_Id, _Id]])
_PAIR = re.compile(r"([A-Za-z0-9](?:-*[A-Za-z0-9])*)_([A-Za-z0-9](?:-*[A-Za-z0-9])*)")
_LONGEST = 200  # bytes of a name, so that name, ending and temporary suffix stay below 255


class TreeError(ValueError):
    """The tree or its split files are not as FaceForensics++ has them."""


@dataclass(frozen=True)
class Clip:
    """One video of the tree, at whatever compression."""

    method: str  # REAL or one of METHODS
    video: str  # "000", forged: "000_003"
    target: str  # the person whose video it is
    source: str  # the person whose face went in; "" if real
    split: str

    def __post_init__(self):
        """Raises TreeError for a method or video that could not be the name of one file."""
        for name in (self.method, self.video):
            # it must not lead anywhere, nor after Unicode's compatibility folding (NFKC), which
            # makes a full-width "/" a plain one
            folded = unicodedata.normalize("NFKC", name)
            if (
                not name
                or len(name.encode(errors="replace")) > _LONGEST
                or folded.startswith((".", "-", "~"))
                or any(c in "/\\:" or unicodedata.category(c)[0] == "C" for c in name + folded)
            ):
                raise TreeError(
                    f"{name[:80]!r} cannot be the name of a file: expected at most {_LONGEST} "
                    "bytes, no /, \\, : or control characters, and no '.', '-' or '~' at its start"
                )

    @property
    def label(self) -> int:
        """0 real, 1 forged."""
        return int(self.method != REAL)

    def __str__(self) -> str:
        return f"{self.method}/{self.video}"


@dataclass(frozen=True)
class Tree:
    """A FaceForensics++ tree; its split files are in splits_dir (None: <root>/splits). seed: in
    place of these a split of its own, drawn over the pairs that are there. test_only: to be
    scored, not trained on, for which test.json is enough."""

    root: Path
    splits_dir: Path | None = None
    seed: int | None = None
    test_only: bool = False

    def video_path(self, clip: Clip, compression: str) -> Path:
        """Where a clip lies (raw and c0 are two names of one compression)."""
        parent = self._folder(clip.method)
        other = {"raw": "c0", "c0": "raw"}.get(compression)
        if other and not (parent / compression).is_dir() and (parent / other).is_dir():
            compression = other
        return parent / compression / "videos" / f"{clip.video}.mp4"

    def mask_path(self, clip: Clip) -> Path | None:
        """Where the mask video lies, or would (`mask_there`); None for a real clip."""
        if clip.method == REAL:
            return None
        return self._folder(clip.method) / "masks" / "videos" / f"{clip.video}.mp4"

    def recipe(self, compression: str) -> None:
        """None: every compression is there as files."""

    def _folder(self, method: str) -> Path:
        if method == REAL:
            return Path(self.root) / "original_sequences" / "youtube"
        return Path(self.root) / "manipulated_sequences" / method

    def splits(self) -> dict[str, list[tuple[str, str]]]:
        """Pairs of ids by split, in the order of the files; drawn if the tree has a seed. Raises
        TreeError for a missing or malformed file, and for an id that is named twice: one person in
        two splits would make every test score too good."""
        if self.seed is not None:
            return draw_splits(self.pairs(), self.seed)
        folder = Path(self.splits_dir or Path(self.root) / "splits")
        found: dict[str, list[tuple[str, str]]] = {}
        seen: set[str] = set()
        for split in ("test",) if self.test_only else SPLITS:
            path = folder / f"{split}.json"
            found[split] = _read_pairs(path)
            for name in (n for pair in found[split] for n in pair):
                if name in seen:
                    raise TreeError(
                        f"{path}: video {name} is named twice, there or in another split's file; "
                        "every id belongs to one pair of one split"
                    )
                seen.add(name)
        return found

    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of ids (a, b), a < b, of all forged videos that are there, sorted. Raises
        TreeError if an id is in two pairs, which no video of FaceForensics++ is."""
        found: dict[str, tuple[str, str]] = {}
        files = (self._folder(method).glob("*/videos/*.mp4") for method in METHODS)
        for path in sorted(chain.from_iterable(files)):
            match = _PAIR.fullmatch(path.stem)
            pair = tuple(sorted(match.groups())) if match else ()
            for name in pair:
                if (other := found.setdefault(name, pair)) != pair:
                    raise TreeError(
                        f"{path}: video {name} is in the pairs {'_'.join(other)} and "
                        f"{'_'.join(pair)}; a drawn split needs every id in one pair: remove "
                        "what does not belong there, or give split files (data.splits)"
                    )
        return sorted(set(found.values()))

    def clips(self, methods: Iterable[str]) -> list[Clip]:
        """Every clip that the splits name: by split, first the real ones, then method by method."""
        methods, clips = list(methods), []
        for split, pairs in self.splits().items():
            clips += [Clip(REAL, one, one, "", split) for pair in pairs for one in pair]
            both = [turn for a, b in pairs for turn in ((a, b), (b, a))]
            clips += [Clip(m, f"{t}_{s}", t, s, split) for m in methods for t, s in both]
        return clips


def mask_there(tree, clip: Clip) -> Path | None:
    """The mask video that a clip is to be read with; None for a real clip, and for a forgery that
    has none."""
    path = tree.mask_path(clip)
    return path if path and path.exists() else None


def draw_splits(pairs: Sequence[tuple[str, str]], seed: int) -> dict[str, list[tuple[str, str]]]:
    """Deal pairs to splits in the official shares, at least 1, 1 and 2 pairs. What is dealt follows
    from the seed and the names, not from an order. Raises TreeError for fewer than 4 pairs."""
    if len(pairs) < 4:
        raise TreeError(
            f"{len(pairs)} pairs of forged videos (a_b, b_a) are there; a drawn split needs at "
            "least 4: 1 to train on, 1 to validate and 2 to test, so that an interval can be given"
        )

    names = {pair: f"{seed} {' '.join(sorted(pair))}" for pair in pairs}
    ranked = sorted(pairs, key=lambda pair: hashlib.sha256(names[pair].encode()).digest())
    share = round(SHARES["test"] * len(pairs))
    test, val = max(2, share), max(1, share)
    parts = ranked[test + val :], ranked[test : test + val], ranked[:test]
    return {split: sorted(part) for split, part in zip(SPLITS, parts)}


def download(method: str, what: str) -> str:
    """Options of the official download script that bring a part (of REAL or one of METHODS, a
    compression or "mask"); "" if it does not have it."""
    part = f"-d {method}"
    if what == "mask":
        return "" if method in (REAL, *MASKLESS) else f"{part} -t masks"
    compression = "raw" if what == "c0" else what
    return f"{part} -c {compression} -t videos" if compression in ("raw", "c23", "c40") else ""


def write_splits(root: Path, splits: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Write <root>/splits/<split>.json in the official format."""
    for split, pairs in splits.items():
        with atomic(Path(root) / "splits" / f"{split}.json") as path:
            path.write_text(json.dumps([list(pair) for pair in pairs]) + "\n")


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        return _PAIRS.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise TreeError(
            f"{path}: no such file; put the official ones (dataset/splits of ondyari/FaceForensics "
            "on GitHub) into <data.root>/splits, or set data.splits to their folder. Without them, "
            "seeded:0 draws a split; test, for scoring only, needs test.json alone"
        ) from None
    except ValidationError as error:
        raise TreeError(
            f"{path}: expected a list of pairs of ids, strings of letters, digits, _ and - such as "
            f'["000", "003"]; {error}'
        ) from None
