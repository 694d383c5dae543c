"""What several tests need: three portraits, small FaceForensics++ trees, small parameters."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from project import STATE
from ruamel.yaml import YAML

from acfd import params as params_module
from acfd.faces import shards
from acfd.faces.shards import INDEX_COLUMNS, PairTable, encode_png, shard_name, write_shard
from acfd.media.video import write_video
from acfd.params import Params
from acfd.videos.ffpp import REAL, Clip, Tree, write_splits
from acfd.videos.synthff.build import cast
from acfd.videos.synthff.people import Generator, make_pair

PAIRS = {"train": [("000", "001")], "val": [("002", "003")], "test": [("004", "005")]}


LONGEST = "study train baselines synthff faces distributed parallel detect export maskless datasets"


def pytest_collection_modifyitems(items):
    """The files that take longest first: two run at a time, and a long one would end alone."""
    order = [f"test_{name}.py" for name in LONGEST.split()]
    items.sort(key=lambda item: [*order, item.path.name].index(item.path.name))


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """shared(name, make): a folder that `make` fills once for all workers of this session."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], None]) -> Path:
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (base / name).exists():
                (base / f"{name}.tmp").mkdir()
                make(base / f"{name}.tmp")
                (base / f"{name}.tmp").rename(base / name)
        return base / name

    return once


@pytest.fixture(scope="session")
def portraits(shared) -> np.ndarray:
    """Three generated people: 3 x 320 x 320 x 3 RGB uint8."""

    def make(folder: Path):
        generator = Generator()
        variables = np.random.default_rng(7).normal(size=(3, 512))
        styles = generator.mean + 0.8 * (generator.styles(variables) - generator.mean)
        small = [cv2.resize(generator.render(style), (320, 320), None, 0, 0, cv2.INTER_AREA)
                 for style in styles]  # fmt: skip
        np.save(folder / "faces.npy", np.stack(small))

    return np.load(shared("portraits", make) / "faces.npy")


@pytest.fixture(scope="session")
def rendered(shared) -> Path:
    """A scratch folder with 22 people of seed 5 for SynthFF of 128 px: rendering takes longest."""

    def make(folder: Path):
        p = params_module.load(STATE / "params.yaml").synthff
        people, side = cast(p.model_copy(update={"seed": 5, "size": 128}), folder)
        Parallel(n_jobs=2)(delayed(make_pair)(people, pair, 5, side) for pair in range(11))

    return shared("rendered", make)


def moving(portrait: np.ndarray, frames: int, width: int, height: int) -> list[np.ndarray]:
    """A portrait fitted into the height of a grey frame's middle, drifting two pixels a frame."""
    side = min(width, height)
    face = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    clip = []
    for n in range(frames):
        frame = np.full((height, width, 3), 110, np.uint8)
        x, y = (width - side) // 2, (height - side) // 2
        frame[y : y + side, x : x + side] = face
        clip.append(np.roll(frame, 2 * n - frames, axis=1))
    return clip


def remux(source: Path, target: Path, **options: str) -> None:
    """The same packets in another container, or with options of the muxer."""
    with av.open(str(source)) as read, av.open(str(target), "w", options=options) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, by its path in the folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def inner_face(width: int, height: int, shift: int = 0) -> np.ndarray:
    """The mask of a forgery in `moving`: H x W uint8, an ellipse over the middle, 0 or 255."""
    mask = np.zeros((height, width), np.uint8)
    side = min(width, height)
    centre = (width // 2 + shift, round(height / 2 + 0.07 * side))
    cv2.ellipse(mask, centre, (round(side * 0.2), round(side * 0.26)), 0, 0, 360, 255, -1)
    return mask


def write_clip(
    tree: Tree,
    clip: Clip,
    frames: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None = None,
    compressions: Mapping[str, int] | None = None,
) -> None:
    """Write a clip at each compression (name -> crf), and its mask video if it has one."""
    for name, crf in (compressions or {"c23": 23, "c40": 40}).items():
        write_video(tree.video_path(clip, name), frames, 25.0, crf=crf, preset="ultrafast")
    if masks is not None:
        write_video(tree.mask_path(clip), masks, 25.0, crf=10, preset="ultrafast")


def build_tree(
    portraits: np.ndarray,
    root: Path,
    *,
    pairs: Mapping[str, Sequence[tuple[str, str]]] = PAIRS,
    methods: Sequence[str] = ("Deepfakes",),
    frames: int = 6,
    size: tuple[int, int] = (128, 128),
    compressions: Mapping[str, int] | None = None,
) -> Tree:
    """A FaceForensics++ tree of tiny clips (size: width, height); person n is portrait n % 3.

    A forgery shows another portrait inside an ellipse, which is its mask.
    """
    width, height = size
    write_splits(root, {split: pairs.get(split, []) for split in ("train", "val", "test")})
    tree = Tree(root)
    for clip in tree.clips(methods):
        person = int("".join(c for c in clip.target if c.isdigit()) or 0)
        shown = moving(portraits[person % 3], frames, width, height)
        masks = None
        if clip.label:
            others = moving(portraits[(person + 1) % 3], frames, width, height)
            masks = [inner_face(width, height, 2 * n - frames) for n in range(frames)]
            inside = [m[:, :, None] > 0 for m in masks]
            shown = [np.where(i, o, s) for i, o, s in zip(inside, others, shown)]
        write_clip(tree, clip, shown, masks, compressions)
    return tree


@pytest.fixture(scope="session")
def make_tree(portraits) -> Callable[..., Tree]:
    """build_tree with the portraits given: make_tree(root, pairs=..., frames=6, ...)."""
    return partial(build_tree, portraits)


@pytest.fixture
def mine(sound, tmp_path) -> Tree:
    """A copy of a test file's sound tree to do harm to."""
    return Tree(shutil.copytree(sound.root, tmp_path / "videos"))


def by_name(tree: Tree) -> dict[str, Clip]:
    """Its clips by "<method>/<video>"."""
    return {str(clip): clip for clip in tree.clips(["Deepfakes"])}


@pytest.fixture(scope="session")
def make_params() -> Callable[..., Params]:
    """make_params(faces={"size": 48}, compute={"jobs": 2}, ...): params.yaml, made small."""
    base = params_module.load(STATE / "params.yaml").model_dump()

    def make(**sections: Mapping) -> Params:
        raw = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
        raw["data"]["methods"] = ["Deepfakes"]
        raw["train"]["methods"] = ["Deepfakes"]
        for row in raw["rows"].values():  # what a test sets below holds for every row
            for key in ("steps", "epoch_steps"):
                row["set"].get("train", {}).pop(key, None)
        raw["faces"] |= {"frames": 4, "size": 48, "detect_size": 128}
        raw["synthff"]["size"] = 96
        raw["compute"]["jobs"] = 1
        for section, values in sections.items():
            raw[section] |= values
        return Params(**raw)

    return make


@pytest.fixture(scope="session")
def small_params(make_params) -> Params:
    """params.yaml for training on `toy_faces`: seconds a run."""
    return make_params(
        train={"steps": 2, "epoch_steps": 1, "batch": 4, "keep": "best", "lr": 0.0001},
        model={"weights": "wheel", "critic_width": 8},
        compute={"workers": 0, "accelerator": "cpu"},
        score={"batch": 16},
    )


def write_params(p: Params, folder: Path) -> Path:
    """Write parameters as the params.yaml of a folder; returns its path."""
    path = folder / "params.yaml"
    with path.open("w") as f:
        YAML().dump(p.model_dump(mode="json"), f)
    return path


def write_faces(folder: Path, made: Iterable[tuple[Clip, list[dict]]]) -> PairTable:
    """A faces folder of these clips and their rows."""
    index = []
    for clip, rows in made:
        write_shard(folder / shard_name(clip), clip, rows, "made", {})
        about = shards.about(clip) | {"shard": shard_name(clip)}
        index += [about | {"frame": row["frame"], "row": n} for n, row in enumerate(rows)]
    shards.write_index(folder, pd.DataFrame(index)[list(INDEX_COLUMNS)])
    return PairTable(folder)


@pytest.fixture(scope="session")
def toy_faces(tmp_path_factory) -> PairTable:
    """A faces folder for tests of training: 64 px noise, forged ones with a bright square, which
    is the mask. 2 pairs of people a split, 2 frames a video."""
    rng, made = np.random.default_rng(0), []
    for n, split in enumerate(("train", "train", "val", "val", "test", "test")):
        ids = (f"{2 * n:03d}", f"{2 * n + 1:03d}")
        for target, source in (ids, ids[::-1]):
            for clip in (
                Clip(REAL, target, target, "", split),
                Clip("Deepfakes", f"{target}_{source}", target, source, split),
            ):
                made.append((clip, [_toy_pair(clip.label, frame, rng) for frame in range(2)]))
    return write_faces(tmp_path_factory.mktemp("toy") / "faces", made)


def _toy_pair(label: int, frame: int, rng: np.random.Generator) -> dict:
    high = rng.integers(40, 120, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    if label:
        y, x = rng.integers(8, 24, 2)
        mask[y : y + 28, x : x + 28] = 255
        high[mask > 0] += 90
    low = cv2.blur(high, (3, 3))
    pictures = {"high": high, "low": low, "mask": mask}
    marks = [22.0, 26.0, 42.0, 26.0, 32.0, 36.0, 24.0, 46.0, 40.0, 46.0]
    return {"frame": frame, "box": [0.0, 0.0, 64.0, 64.0], "landmarks": marks} | {
        name: encode_png(picture) for name, picture in pictures.items()
    }
