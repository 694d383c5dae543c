"""Pairs made afresh: forgeries lie where their masks say, and only the seam tells them apart."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from conftest import write_faces
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acfd.faces.shards import PairTable, encode_png
from acfd.media import blend
from acfd.media.video import h264
from acfd.runs import blended, pairs, run
from acfd.runs.blended import Blended
from acfd.videos.ffpp import REAL, Clip

SIDE, PEOPLE, FRAMES = 64, 12, 3
POINTS = blend.CANON * 9 + (32, 24)


def face(person: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth coloured picture with eyes, nose and mouth, and where these are."""
    rng = np.random.default_rng(person)
    coarse = rng.integers(40, 215, (6, 6, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    points = POINTS * rng.uniform(0.9, 1.1, (1, 2)) + rng.normal(0, 1.0, (5, 2)) + frame
    skin = tuple(rng.integers(120, 230, 3).tolist())
    middle = points.mean(0).round().astype(int).tolist()
    cv2.ellipse(picture, middle, (20, 26), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x, y in points.round().astype(int).tolist():
        cv2.circle(picture, (x, y), 3, tuple(rng.integers(0, 110, 3).tolist()), -1, cv2.LINE_AA)
    noise = np.random.default_rng((person, frame)).normal(0, 2, picture.shape)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)) + noise
    return np.clip(picture, 0, 255).astype(np.uint8), points


def faces(folder, people: int) -> PairTable:
    made = []
    for person in range(people):
        clip = Clip(REAL, f"{person:03d}", f"{person:03d}", "", "train")
        rows = []
        for frame in range(FRAMES):
            picture, points = face(person, frame)
            png = encode_png(picture)
            nothing = encode_png(np.zeros((SIDE, SIDE), np.uint8))
            marks = points.ravel().tolist()
            said = {"frame": frame, "box": [0.0, 0.0, 64.0, 64.0], "landmarks": marks}
            rows.append(said | {"high": png, "low": png, "mask": nothing})
        made.append((clip, rows))
    return write_faces(folder, made)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> PairTable:
    return faces(tmp_path_factory.mktemp("blended") / "faces", PEOPLE)


@pytest.fixture(scope="module")
def made(table, small_params) -> Blended:
    return Blended(table, np.arange(len(table)), small_params)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.square(a.astype(float) - b).mean()))


def test_a_forgery_has_both_qualities_and_lies_where_its_mask_says(made, table, small_params):
    areas, tops, inside, outside = [], set(), [], []
    for seed in range(30):
        row = seed % len(table)
        pair = table.read(row)
        forged = made.forged(pair, row, np.random.default_rng(seed))
        assert forged.keys() == {"high", "low", "mask", "soft"}
        for name, value in forged.items():
            shape = (SIDE, SIDE) if name in ("mask", "soft") else (SIDE, SIDE, 3)
            assert value.shape == shape and value.dtype == np.uint8
        over = forged["soft"] > 255 * small_params.faces.mask_threshold
        assert (forged["mask"] == over).all()
        areas.append(forged["mask"].mean())
        tops.add(int(forged["soft"].max()))
        change = np.abs(forged["high"].astype(float) - pair["high"]).mean(2)
        inside.append(change[forged["soft"] >= forged["soft"].max() / 2].mean())
        outside.append(change[forged["soft"] == 0].mean())
    assert 0 < min(areas) < 0.1 and max(areas) > 0.25  # from mouths to whole faces
    assert 255 in tops and min(tops) < 200  # opaque and translucent
    assert np.mean(inside) > 1.5 * np.mean(outside)


def test_the_rng_alone_decides(made, table):
    row, pair = 4, table.read(4)
    ways = {
        "forged": lambda f, rng: f.forged(pair, row, rng),
        "real": lambda f, rng: f.real(pair, rng),
        "degrade": lambda f, rng: f.degrade(pair, rng),
    }
    copied = pickle.loads(pickle.dumps(made))
    for make in ways.values():
        first = make(made, np.random.default_rng(1))
        for maker in (made, copied):
            again = make(maker, np.random.default_rng(1))
            assert again.keys() == first.keys()
            assert all(np.array_equal(again[k], first[k]) for k in first)
        assert error(first["low"], make(made, np.random.default_rng(2))["low"]) > 1


@pytest.mark.parametrize("kind", ["self", "frame", "other"])
def test_one_person_alone_is_blended_with_itself(kind, tmp_path, small_params, monkeypatch):
    alone = faces(tmp_path, 1)
    one = Blended(alone, np.array([0]), small_params)
    monkeypatch.setattr(blended, "SOURCES", {kind: 1.0})
    monkeypatch.setattr(blended, "EXPRESSION", 0.0)
    assert one.forged(alone.read(0), 0, np.random.default_rng(0))["mask"].any()


def test_sources_are_another_frame_or_the_person_of_nearest_landmarks(made, table, monkeypatch):
    row = 7
    pair = table.read(row)
    person = table.index["target"].to_numpy()
    read = []
    monkeypatch.setattr(made.table, "read", lambda i: read.append(i) or PairTable.read(table, i))
    monkeypatch.setattr(blended, "SOURCES", {"frame": 1.0})
    for seed in range(12):
        made._source(pair, row, np.random.default_rng(seed))
    assert set(read) == set(np.flatnonzero(person == pair["target"])) - {row}

    monkeypatch.setattr(blended, "SOURCES", {"other": 1.0})
    monkeypatch.setattr(blended, "CANDIDATES", 2000)  # all of them, as good as surely
    read.clear()
    made._source(pair, row, np.random.default_rng(0))

    def distance(i):
        a, b = (table.landmarks(int(k)) - table.landmarks(int(k)).mean(0) for k in (i, row))
        return np.abs(a / np.linalg.norm(a) - b / np.linalg.norm(b)).sum()

    others = np.flatnonzero(person != pair["target"])
    assert read == [min(others, key=distance)]


def test_a_source_is_aligned_to_the_target():
    points = POINTS + np.random.default_rng(0).normal(0, 1, (5, 2))
    turn = np.array([[0.9, -0.2, 5.0], [0.2, 0.9, -3.0]])
    moved = points @ turn[:, :2].T + turn[:, 2]
    for affine in (True, False):
        assert np.allclose(blended.fitted(points, moved, affine), turn)
    stretched = points * (1.3, 1.0)
    free, rigid = (blended.fitted(points, stretched, affine) for affine in (True, False))
    assert np.allclose(free, [[1.3, 0, 0], [0, 1, 0]], atol=1e-9)
    assert np.allclose(rigid[0, :2] @ rigid[1, :2], 0)
    scales = np.hypot(*rigid[:, :2].T)
    assert np.allclose(scales, scales[0]) and 1 < scales[0] < 1.3


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_h264_in_memory_gives_the_last_frame_back(pix_fmt):
    odd = face(3, 0)[0][:51, :37]
    frames = [np.roll(odd, 2, axis=1), np.roll(odd, 1, axis=1), odd]
    fine, coarse = h264(frames, (10, 44), pix_fmt)
    assert fine.shape == coarse.shape == odd.shape
    assert error(fine, odd) < 6 < error(fine, frames[0])
    assert error(coarse, odd) > 1.5 * error(fine, odd)
    assert (h264(frames, (44,), pix_fmt)[0] == coarse).all()
    assert (h264(frames[2:], (44,), pix_fmt)[0] != coarse).any()  # inter coding shows


def test_a_further_degradation_is_one_for_both_qualities(made, table):
    pair = table.read(5)
    same = pair | {"low": pair["high"]}
    high, low, colour = [], [], []
    for seed in range(40):
        after = made.degrade(same, np.random.default_rng(seed))
        assert after.keys() == {"high", "low"}  # the mask stays as it is
        assert all(after[k].shape == pair["high"].shape for k in after)
        high.append(error(after["high"], pair["high"]))
        low.append(error(after["low"], pair["high"]))
        colour.append(after["high"].mean((0, 1)) - after["low"].mean((0, 1)))
    assert np.mean(np.array(low) > high) > 0.7
    assert np.abs(colour).mean() < 1.5  # colour moves alike, by 10 and more
    assert np.max(low) > 2 * np.min(low)


def test_what_is_no_seam_says_nothing_of_the_label(made, table):
    """Brightness, contrast, sharpness, file sizes and what compression took away, of the whole
    picture and outside the mask."""
    label, person, found = [], [], {}
    for n in range(200):
        row = n % len(table)
        pair = table.read(row)
        forged = made.forged(pair, row, np.random.default_rng((n, 1)))
        real = made.real(pair, np.random.default_rng((n, 0)))
        outside = cv2.dilate((forged["soft"] > 0).astype(np.uint8), np.ones((5, 5))) == 0
        for name, of in (("real", real), ("forged", forged)):
            label.append(int(name == "forged"))
            person.append(pair["target"])
            for quality in ("high", "low"):
                everywhere = np.ones_like(outside)
                for where, keep in (("whole", everywhere), ("outside", outside)):
                    lost = error(of["high"][keep], of["low"][keep])
                    values = [*_statistics(of[quality], keep), lost]
                    found.setdefault((quality, where), []).append(values)
    label = np.array(label)
    for what, values in found.items():
        values = np.array(values)
        alone = np.array([roc_auc_score(label, column) for column in values.T])
        assert np.abs(alone - 0.5).max() < 0.07, (what, alone)
        if what[1] == "outside":
            model = make_pipeline(StandardScaler(), LogisticRegression())
            said = cross_val_predict(
                model, values, label, groups=person, cv=GroupKFold(4), method="predict_proba"
            )
            assert roc_auc_score(label, said[:, 1]) < 0.6, what


def _statistics(picture: np.ndarray, keep: np.ndarray) -> list[float]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_32F))[keep]
    shown = np.where(keep[..., None], picture, 127)
    sizes = [len(cv2.imencode(end, shown)[1]) for end in (".jpg", ".png")]
    inside = picture[keep].astype(float)
    return [*inside.mean(0), *inside.std(0), edges.mean(), edges.std(), *np.log(sizes)]


def test_batches_of_a_training_run_have_what_is_made_afresh(toy_faces, make_params):
    p = make_params(
        augment={"blend": 1.0, "degrade": 0.5},
        train={"batch": 4, "steps": 2, "epoch_steps": 2},
        score={"batch": 16},
    )
    data, batches, (checked, in_order) = run.training_data(toy_faces, p, seed=0)
    alone = list(pairs.loader(data, batches, workers=0))
    helped = list(pairs.loader(data, batches, workers=2))
    for batch, other in zip(alone, helped, strict=True):
        assert all(torch.equal(batch[k], other[k]) for k in batch)
        assert batch["label"].tolist() == [0, 1, 0, 1]
        assert batch["soft"].dtype == torch.uint8 and batch["soft"].shape == (4, 1, 64, 64)
        assert not batch["soft"][::2].any() and batch["soft"][1::2].flatten(1).any(dim=1).all()
        real = toy_faces.index["label"].to_numpy()[batch["row"].numpy()]
        assert (real == 0).all()
    for batch in pairs.loader(checked, in_order, workers=0):
        assert set(toy_faces.index["split"].to_numpy()[batch["row"].numpy()]) == {"val"}
        assert batch["label"].sum() * 2 == len(batch["label"])
