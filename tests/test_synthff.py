"""SynthFF: what it makes, that it can be made again, and that it offers no short cut.

Every result on this data would be worthless if a forged clip could be told by anything but the
forged pixels. The short-cut tests train simple classifiers on pixels outside the mask, file sizes
and what the container says, cross-validated by identity; controls show that they would see a leak.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from conftest import contents
from project import STATE, TOP
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acfd.media import blend
from acfd.media.video import probe, read_frames
from acfd.params import Params, load
from acfd.videos.check import survey
from acfd.videos.ffpp import REAL, Clip, Tree
from acfd.videos.synthff import BuildError, build, few, people, varieties
from acfd.videos.synthff.build import _prepare, cast
from acfd.videos.synthff.people import BASE, load_person

METHODS = list(varieties.COLUMNS)
COMPRESSIONS = ("raw", "c23", "c40")
VARIETIES = ("narrow", "wide")
LAST = ("004", "005")  # the last pair of `small`


def small(methods=METHODS, jobs=2, train=2, val=2, test=2, **synthff) -> Params:
    """params.yaml with so few people, of 128 px, three frames each; synthff: other values."""
    p = load(STATE / "params.yaml")
    ids = p.synthff.identities.model_copy(update={"train": train, "val": val, "test": test})
    said = {"seed": 5, "identities": ids, "size": 128, "frames": 3, "variety": "narrow"} | synthff
    sections = {"synthff": said, "compute": {"jobs": jobs}, "data": {"methods": list(methods)}}
    return p.model_copy(
        update={name: getattr(p, name).model_copy(update=of) for name, of in sections.items()}
    )


def make(params: Params, root: Path) -> Tree:
    build(params, root, progress=False, scratch=root.parent / "scratch")
    return Tree(root)


@pytest.fixture(scope="session")
def tree(rendered, tmp_path_factory) -> Tree:
    """Six people, 128 and 96 px, 3 frames, made by two processes."""
    folder = tmp_path_factory.mktemp("synthff")
    shutil.copytree(rendered, folder / "scratch")
    many, scratch = small(train=40, size=[128, 96]), folder / "scratch"
    return few(many, folder / "videos", progress=False, scratch=scratch)


@pytest.fixture(scope="session")
def crowds(rendered, tmp_path_factory) -> Callable[[str], Tree]:
    """crowds("narrow"), crowds("wide"): 22 people, 4 frames: enough to see a leak."""

    @cache
    def crowd(variety: str) -> Tree:
        folder = tmp_path_factory.mktemp(variety)
        shutil.copytree(rendered, folder / "scratch")
        return make(small(train=14, val=4, test=4, frames=4, variety=variety), folder / "videos")

    return crowd


def frames_of(path: Path) -> np.ndarray:
    return np.stack([frame for _, frame in read_frames(path)])


def masks_of(tree: Tree, clip: Clip) -> np.ndarray:
    return frames_of(tree.mask_path(clip))[..., 0]


def real_of(clip: Clip) -> Clip:
    return Clip(REAL, clip.target, clip.target, "", clip.split)


def forged(tree: Tree) -> list[Clip]:
    return [c for c in tree.clips(METHODS) if c.label]


def test_the_tree_is_whole(tree):
    for high, low in (("raw", "c23"), ("c23", "c40")):
        assert survey(tree, METHODS, high, low, progress=False).problems.empty
    clips = tree.clips(METHODS)
    assert len(clips) == 6 * 5
    assert tree.splits() == {"train": [("000", "001")], "val": [("002", "003")], "test": [LAST]}
    for clip in clips:
        info = probe(tree.video_path(clip, "c23"))
        side = (128, 96)[int(clip.target) // 2 % 2]  # pair by pair in turn
        assert (info.frames, info.width, info.height, info.fps) == (3, side, side, 25.0)
        assert (info.codec, info.pix_fmt) == ("h264", "yuv444p")
    size = np.array([[tree.video_path(x, c).stat().st_size for x in clips] for c in COMPRESSIONS])
    assert (size[0] > 3 * size[1]).all() and (size[1] > 1.15 * size[2]).all()
    assert not list(tree.root.rglob(".*"))
    assert not list((tree.root.parent / "scratch").rglob("*.npz"))


def test_outside_the_mask_a_forgery_is_its_real_video(tree):
    for clip in forged(tree):
        real = frames_of(tree.video_path(real_of(clip), "raw"))
        fake = frames_of(tree.video_path(clip, "raw"))
        mask = masks_of(tree, clip)
        beyond = np.stack([cv2.dilate(m, np.ones((9, 9))) for m in mask]) < 4
        assert beyond.mean() > 0.3, clip
        assert (real[beyond] == fake[beyond]).all(), clip
        inside = mask > 128
        assert inside.any(axis=(1, 2)).all(), clip
        change = np.abs(real.astype(int) - fake)[inside].mean()
        assert change > 0.5, f"{clip}: nothing is forged"


# Short cuts


def cosines() -> list[np.ndarray]:
    """The 15 kernels of a 4 x 4 cosine transform but for the mean."""
    n = np.arange(4)
    rows = [np.cos(np.pi * (n + 0.5) * k / 4) for k in range(4)]
    kernels = [np.outer(a, b) for a in rows for b in rows][1:]
    return [(k / np.linalg.norm(k)).astype(np.float32) for k in kernels]


def features(frames: np.ndarray) -> np.ndarray:
    """T x H x W x 30: cosine energies, residual histogram, colour and its square, change in time.

    frames: T x H x W x 3 uint8. Averages of these over any region describe it.
    """
    found = []
    for t, frame in enumerate(frames):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        maps = [np.abs(cv2.filter2D(grey, cv2.CV_32F, k)) for k in cosines()]
        residual = np.abs(grey - cv2.blur(grey, (3, 3)))
        steps = [0, 0.5, 1, 2, 4, 8, 256]
        maps += [(residual >= a) & (residual < b) for a, b in pairwise(steps)]
        colour = frame.astype(np.float32)
        change = np.abs(colour - frames[t - 1]).mean(2) if t else np.zeros_like(grey)
        maps += [*np.moveaxis(colour, 2, 0), *np.moveaxis(colour**2, 2, 0), change]
        found.append(np.stack(maps, axis=2, dtype=np.float32, casting="unsafe"))
    return np.stack(found)


def described(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """One row: what `features` are on average within region (T x H x W bool)."""
    mean = region.reshape(-1).astype(np.float32) @ maps.reshape(-1, maps.shape[-1]) / region.sum()
    mean[:15] = np.log(mean[:15] + 0.05)
    mean[-4:-1] = np.sqrt(np.maximum(mean[-4:-1] - mean[-7:-4] ** 2, 0))
    mean[-1] = np.log(mean[-1] + 0.05)
    return mean


def auc(x: np.ndarray, label: np.ndarray, groups: np.ndarray) -> float:
    """AUC of a logistic regression on people that it was not trained on."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    score = cross_val_predict(
        model, x, label, groups=groups, cv=GroupKFold(11), method="decision_function"
    )
    return float(roc_auc_score(label, score))


def noise_of(groups: np.ndarray) -> float:
    """Standard error of a chance AUC with as many independent real and forged clips as people.

    The clips of one person are so alike that they count as one (Hanley and McNeil 1982).
    """
    n = 2 * len(np.unique(groups))
    return float(np.sqrt((2 * n + 1) / (12 * n * n)))


@lru_cache
def pixels(tree: Tree, compression: str, leak: bool = False) -> dict[str, tuple]:
    """Every forged clip and its real clip, described outside and inside the same mask.

    For "outside" and "inside": features, labels, pairs of people (clips x 30, clips, clips).
    leak, for the controls: forged frames are very slightly blurred.
    """
    reals, rows = {}, {"outside": [], "inside": []}
    for clip in forged(tree):
        mask = masks_of(tree, clip)
        beyond = np.stack([cv2.dilate(m, np.ones((17, 17))) for m in mask]) < 4
        if clip.target not in reals:
            reals[clip.target] = features(frames_of(tree.video_path(real_of(clip), compression)))
        fake = frames_of(tree.video_path(clip, compression))
        fake = features(
            np.stack([cv2.GaussianBlur(f, (0, 0), 0.6) for f in fake]) if leak else fake
        )
        for where, region in (("outside", beyond), ("inside", mask > 100)):
            for label, maps in ((0, reals[clip.target]), (1, fake)):
                rows[where].append((described(maps, region), label, int(clip.target) // 2))
    return {where: tuple(map(np.array, zip(*said))) for where, said in rows.items()}


@pytest.mark.parametrize("variety", VARIETIES)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_pixels_outside_the_mask_say_nothing(crowds, variety, compression):
    x, label, groups = pixels(crowds(variety), compression)["outside"]
    assert abs(auc(x, label, groups) - 0.5) < 2 * noise_of(groups)


def test_a_leak_outside_the_mask_would_be_seen(crowds):
    x, label, groups = pixels(crowds("narrow"), "c23", leak=True)["outside"]
    assert auc(x, label, groups) > 0.5 + 2 * noise_of(groups)


@pytest.mark.parametrize("compression", ["raw", "c23"])
def test_pixels_inside_the_mask_tell(crowds, compression):
    x, label, groups = pixels(crowds("narrow"), compression)["inside"]
    assert auc(x, label, groups) > 0.5 + 2 * noise_of(groups)


def container(tree: Tree, clip: Clip) -> list[float]:
    """What can be known of a clip without looking at it."""
    said = []
    for c in COMPRESSIONS:
        path = tree.video_path(clip, c)
        info = probe(path)
        said += [np.log(path.stat().st_size), info.frames, info.fps, info.width, info.height]
        said += [float(info.pix_fmt in ("yuv444p", "gbrp")), float(info.codec == "h264")]
    return said


@pytest.mark.parametrize("variety", VARIETIES)
def test_file_sizes_and_containers_say_nothing(crowds, variety):
    crowd = crowds(variety)
    clips = crowd.clips(METHODS)
    x = np.array([container(crowd, c) for c in clips])
    label = np.array([c.label for c in clips])
    groups = np.array([int(c.target) // 2 for c in clips])
    varies = x.std(0) > 1e-9
    assert varies.reshape(3, -1).sum(1).tolist() == [1, 1, 1]  # nothing but the sizes
    assert not varies.reshape(3, -1)[:, 1:].any()
    limit = 2 * noise_of(groups)
    assert abs(auc(x, label, groups) - 0.5) < limit
    larger = x + 0.8 * x.std(0) * label[:, None]  # had forged files been that much larger
    assert auc(larger, label, groups) > 0.5 + limit


# Making it again


def test_a_killed_build_goes_on(tree, rendered, tmp_path):
    shutil.copytree(rendered, tmp_path / "scratch")
    root = tmp_path / "videos"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom test_synthff import make, small\n"
        "make(small(size=[128, 96], jobs=1), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(root)]
    run = subprocess.Popen(command, cwd=TOP)  # one process: it makes the clips itself
    while len(list(root.rglob("[!.]*.mp4"))) < 20:
        assert run.poll() is None, "the build ended before it could be killed"
        time.sleep(0.02)
    run.kill()
    run.wait()
    made = {p: p.stat().st_mtime_ns for p in root.rglob("[!.]*.mp4")}
    assert 20 <= len(made) < len(list(tree.root.rglob("*.mp4")))
    (root / "splits" / ".train.json.abc.tmp.mp4").write_bytes(b"half a video")
    make(small(size=[128, 96]), root)
    assert contents(root) == contents(tree.root)
    assert all(p.stat().st_mtime_ns == when for p, when in made.items()), "some were made again"


def test_other_parameters_rebuild_and_another_seed_differs(tree, tmp_path):
    root = tmp_path / "videos"
    shutil.copytree(tree.root, root)
    (root / "index.csv").write_text("not SynthFF's")
    make(small(seed=6, methods=["Deepfakes"], frames=2), root)
    before, after = contents(tree.root), contents(root)
    assert after["index.csv"] == b"not SynthFF's"
    videos = [name for name in after if name.endswith(".mp4")]
    assert len(videos) == 6 * 3 + 6 * 4, "the old seed's videos are still there"
    assert all(after[name] != before[name] for name in videos)


def test_a_strangers_tree_is_left_alone_and_a_method_that_it_lacks_named(tmp_path):
    video = tmp_path / "original_sequences" / "youtube" / "c23" / "videos" / "000.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"somebody's")
    with pytest.raises(BuildError, match=r"original_sequences exists.*synthff.json does not"):
        make(small(), tmp_path)
    assert video.read_bytes() == b"somebody's"
    with pytest.raises(BuildError, match=r"FaceShifter.*Deepfakes"):
        make(small(methods=["Deepfakes", "FaceShifter"]), tmp_path / "videos")


def test_wherever_a_build_is_killed_the_next_one_takes_its_tree_over(tmp_path):
    """Killed before each of the lines that tell SynthFF's own tree from a stranger's."""
    for done in range(1, 100):
        root, lines = tmp_path / str(done), iter(range(done))
        (root / "original_sequences").mkdir(parents=True)
        (root / "synthff.json").write_text("other parameters")

        def kill(frame, event, _, lines=lines):
            if event == "line" and next(lines, None) is None:
                raise KeyboardInterrupt
            return kill if frame.f_code is _prepare.__code__ else None

        tracing = sys.gettrace()
        sys.settrace(kill)
        try:
            _prepare(root, "these parameters")
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        _prepare(root, "these parameters")
        assert not (root / "original_sequences").exists()
    assert 5 < done < 99


def test_the_method_wide_is_of_any_wide_family_in_every_variety():
    families = []
    for k in range(40):
        rng, same = np.random.default_rng(k), np.random.default_rng(k)
        families.append(str(same.choice(METHODS)))
        drawn = varieties.draw("Wide", "narrow", 1.0, rng)
        assert drawn == varieties.draw(families[-1], "wide", 0.5, same)
    assert set(families) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_one_program_in_narrow_and_many_in_wide(method):
    draws = [(v, np.random.default_rng(k)) for v in VARIETIES for k in range(300)]
    drawn = [varieties.draw(method, variety, 1.0, rng) for variety, rng in draws]
    narrow, wide = drawn[:100], drawn[300:]
    swaps = method in ("Deepfakes", "FaceSwap")
    assert len({(d.source, d.fit, *(name for name, *_ in d.recipe)) for d in narrow}) == 1
    assert narrow[0].source == ("other" if swaps else "shifted")
    assert all(len({getattr(d, name) for d in wide}) >= 2 for name in ("kind", "fit", "source"))
    for name in ("scale", "softness"):
        some, many = ([getattr(d, name) for d in of] for of in (narrow, wide))
        assert 0 < np.std(some) < 0.35 * np.mean(some) and np.std(many) > 0.005, name
    assert (np.mean([d.source == "other" for d in wide]) > 0.4) == swaps
    # strength scales what a program leaves
    weak, strong = (varieties.draw(method, "narrow", k, np.random.default_rng(1)) for k in (0.5, 2))
    assert strong.offset == pytest.approx(4 * weak.offset) and strong.softness < weak.softness
    assert strong.colour < weak.colour and strong.light <= varieties.MISMATCH


def test_portraits_are_what_the_whole_network_makes(monkeypatch):
    """The same to the bit as the low band of the network as its wheel has it."""

    def uncut(network):
        bands = {op.get_friendly_name(): op for op in network.get_ordered_ops()}[people.LOW_BAND]
        return ov.Model([bands.output(0)], network.get_parameters(), "uncut")

    quick = people.Generator()
    monkeypatch.setattr(people, "_up_to_low_band", uncut)
    style = quick.styles(np.random.default_rng(3).normal(size=(1, 512)))[0]
    assert np.array_equal(quick.render(style), people.Generator().render(style))


def test_partners_look_the_same_way_and_are_alike(rendered):
    """Partners are nearer to each other than to strangers, in the colour of their skin too."""
    folder, _ = cast(small().synthff, rendered)
    found = [load_person(folder, k) for k in range(22)]
    turned = np.array([blend.turned(p.points[BASE]) for p in found])
    assert np.abs(turned).max() < 0.3 and np.abs(turned[::2] - turned[1::2]).max() < 0.2
    faces = np.stack([p.faces[BASE] for p in found])
    side = faces.shape[1]
    inner = faces[:, side * 2 // 5 : side * 3 // 4, side // 3 : side * 2 // 3].mean((1, 2))
    apart = np.linalg.norm(inner[:, None] - inner, axis=2)
    partners = apart[np.arange(22), np.arange(22) ^ 1]
    assert np.median(partners) < 0.75 * np.median(apart[np.triu_indices(22, 1)])
