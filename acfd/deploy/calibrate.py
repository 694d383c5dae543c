"""Calibration: what a score is worth, and the range of inputs for which that was measured.

A network's log-odds are divided by one number, the temperature, fitted on the validation split by
maximum likelihood (Guo et al., "On calibration of modern neural networks", ICML 2017): one for
single frames, one for the mean over a video, whose errors do not cancel as those of independent
frames would. Both compressions count alike, and so do real and forged: a probability is one at even
odds before the video was seen. A temperature that does not help on people that it was not fitted on
is left out: the probability is the network's own, and is called uncalibrated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit as sigmoid
from scipy.special import log_expit
from sklearn.model_selection import GroupKFold

from acfd import metrics
from acfd.params import Params
from acfd.paths import Paths, atomic

if TYPE_CHECKING:  # whoever only reads a calibration waits for no plotting library
    from matplotlib.figure import Figure

BINS = 10
_COLDEST, _HOTTEST = 0.05, 100.0  # a score that says nothing has no temperature: it ends here
_FOLDS = 10  # at most, of people
_RESAMPLES = 200
_EDGE = 1e-6  # scores are float32: beyond this they are 0 or 1
_CROPS = 240  # crops that the ranges are read from, a compression
_VIDEOS = 120  # videos, for the same
_TAIL = 0.01  # left out of a range on either side
_PARTS = ("run", "key", "frames", "videos", "scatter", "test", "ranges")


class CalibrationError(ValueError):
    """Scores or a calibration that are not those of the run; the message names the files."""


def write(params: Params, paths: Paths) -> dict[str, Any]:
    """Calibrate the run that `acfd detect` uses; writes metrics/calibration.json and a figure."""
    from acfd import figures

    row, seed = params.detect.row, params.detect.seed
    found = of_scores(params, paths, row, seed)
    with atomic(paths.metrics / "calibration.json") as f:
        f.write_text(json.dumps(found, indent=1) + "\n")
    scores = pd.read_parquet(paths.scores(row, seed))
    figure = reliability(scores, found)
    figures.save(figure, paths, "calibration/reliability")
    return found


def of_run(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any] | None:
    """The calibration of a run: as `write` left it, or computed now; None if it was not scored."""
    path = paths.metrics / "calibration.json"
    if path.is_file():
        found = read(path, "`acfd calibrate` writes it anew", *_PARTS)
        key = read(paths.run(row, seed) / "run.json", "train it again", "key")["key"]
        if (found["run"], found["key"]) == (f"{row}-s{seed}", key):
            return found
    if not paths.scores(row, seed).is_file():
        return None
    return of_scores(params, paths, row, seed)


def of_scores(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any]:
    """Temperatures, what they are worth, and the ranges that they hold for.

    Raises metrics.MetricError if the validation split lacks real or forged videos, CalibrationError
    if the scores are not those of the run that is there.
    """
    scores = pd.read_parquet(paths.scores(row, seed))
    about = paths.run(row, seed) / "run.json"
    key = read(about, "train it again", "key")["key"]
    if (scored := scores.attrs.get("key", "no key")) != key:
        raise CalibrationError(
            f"{paths.scores(row, seed)} has the scores of another training ({scored}) than {about} "
            f"({key}); score this one: `dvc repro`, or `acfd score --row {row} --seed {seed}`"
        )
    found = {"run": f"{row}-s{seed}", "key": key}
    found |= temperatures(samples(scores[scores["split"] == "val"]))
    found |= {"test": {}, "ranges": ranges(params, paths)}
    test = scores[scores["split"] == "test"]
    for compression, part in test.groupby("compression"):
        found["test"][compression] = on_test(samples(part), found["videos"]["temperature"])
    return found


def read(path: Path, otherwise: str, *parts: str) -> dict[str, Any]:
    """A JSON file that has these parts. Raises CalibrationError, with what to do otherwise."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for part in parts:
            found[part]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"broken, or of another version ({type(error).__name__}: {error})"
        raise CalibrationError(f"{path}: {why}; {otherwise}") from None
    return found


def temperatures(frames: pd.DataFrame) -> dict[str, Any]:
    """The fits for frames and for videos, from validation `samples`, and how a video's frames
    scatter: the root mean square of their log-odds around the video's mean."""
    clips = frames.groupby("clip")
    within = clips["logit"].var(ddof=1).dropna()
    if not len(within):  # of single images nothing is known but how they differ
        within = frames.groupby("label")["logit"].var(ddof=1)
    return {
        "frames": fit(frames),
        "videos": fit(by_video(frames)),
        "frames_a_video": float(clips.size().median()),
        "scatter": float(np.sqrt(within.mean())),
    }


def samples(scores: pd.DataFrame) -> pd.DataFrame:
    """label, logit, weight, unit and clip of every row of a score file.

    Weights add up to 1, half of it real; a unit is a pair of people, as in `metrics`.
    """
    score = scores["score"].to_numpy(np.float64).clip(_EDGE, 1 - _EDGE)
    label = scores["label"].to_numpy(int)
    if len(np.unique(label)) < 2:
        raise metrics.MetricError(
            "calibration needs real and forged validation videos; found "
            f"{np.sum(label == 0)} real and {np.sum(label == 1)} forged frames"
        )
    clip = scores["compression"] + "/" + scores["method"] + "/" + scores["video"]
    return pd.DataFrame(
        {
            "label": label,
            "logit": np.log(score / (1 - score)),
            "weight": _weights(label),
            "unit": metrics.identity_units(scores),
            "clip": clip.to_numpy(),
        }
    )


def by_video(frames: pd.DataFrame) -> pd.DataFrame:
    """The same for videos, whose log-odds are the mean of their frames'."""
    how = {"label": "first", "logit": "mean", "unit": "first"}
    videos = frames.groupby("clip", sort=True).agg(how).reset_index()
    return videos.assign(weight=_weights(videos["label"].to_numpy()))


def _weights(label: np.ndarray) -> np.ndarray:
    return np.where(label == 1, 0.5 / np.sum(label == 1), 0.5 / np.sum(label == 0))


def fit(of: pd.DataFrame) -> dict[str, Any]:
    """The temperature with its 95 % interval from resampled identities, and what it changes on
    people that it was not fitted on.

    It helps if the log loss there is lower by more than the standard error of that over people;
    else `calibrated` is false, and the temperature 1.
    """
    label, logit, weight = (of[c].to_numpy() for c in ("label", "logit", "weight"))
    unit, units = of["unit"].to_numpy(), int(of["unit"].max()) + 1
    others = logit / held_out(of)
    saved = np.bincount(unit, weight * (_losses(label, logit) - _losses(label, others)))
    calibrated = units > 1 and bool(saved.sum() > np.sqrt(units) * saved.std(ddof=1))
    temperature = best_temperature(label, logit, weight) if calibrated else 1.0
    drawn = [temperature]
    if units > 1:
        for times in metrics.resample(units, _RESAMPLES)[1:]:
            w = weight * times[unit]
            sums = [w[label == c].sum() for c in (0, 1)]
            if min(sums) > 0:
                w = w / np.where(label == 1, sums[1], sums[0]) / 2
                drawn.append(best_temperature(label, logit, w))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "calibrated": calibrated,
        "temperature": temperature,
        "low": min(float(low), temperature),
        "high": max(float(high), temperature),
        "samples": len(of),
        "units": units,
        "ece_before": expected_error(label, sigmoid(logit), weight),
        "ece": expected_error(label, sigmoid(others), weight),
        "log_loss_before": log_loss(label, logit, weight),
        "log_loss": log_loss(label, others, weight),
    }


def held_out(of: pd.DataFrame) -> np.ndarray:
    """For every sample the temperature of other people's samples; 1 if there are no others."""
    found = np.ones(len(of))
    folds = min(_FOLDS, of["unit"].nunique())
    if folds > 1:
        values = of[["label", "logit", "weight"]].to_numpy()
        for others, rest in GroupKFold(folds).split(values, groups=of["unit"]):
            found[rest] = best_temperature(*values[others].T)
    return found


def best_temperature(label: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> float:
    """The divisor of n log-odds at which their weighted log loss is least, in 0.05 ... 100."""

    def loss(log_t: float) -> float:
        return log_loss(label, logit / np.exp(log_t), weight)

    found = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded")
    return float(np.exp(found.x))


def log_loss(label: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean of -log p(label), in nats."""
    return float(np.average(_losses(label, logit), weights=weight))


def _losses(label: np.ndarray, logit: np.ndarray) -> np.ndarray:
    return -log_expit(np.where(label == 1, logit, -logit))


def expected_error(
    label: np.ndarray, probability: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Expected calibration error: over ten bins of equal width, the mean distance between the
    probability said and the share of forged found, each bin by its weight."""
    bins = reliability_bins(label, probability, weight)
    return float(np.sum(bins["weight"] * np.abs(bins["found"] - bins["said"])))


def reliability_bins(label, probability, weight=None) -> pd.DataFrame:
    """said, found, weight and count of each bin that holds anything."""
    label, probability = np.asarray(label), np.asarray(probability)
    weight = np.full(len(label), 1 / len(label)) if weight is None else np.asarray(weight)
    here = [None, weight, weight * probability, weight * label]
    count, total, said, found = (
        np.histogram(probability, BINS, (0, 1), weights=w)[0] for w in here
    )
    bins = {"said": said, "found": found, "weight": total, "count": count}
    bins = pd.DataFrame(bins)[count > 0]
    return bins.assign(said=bins["said"] / bins["weight"], found=bins["found"] / bins["weight"])


def on_test(frames: pd.DataFrame, temperature: float) -> dict[str, float]:
    """How the videos of one compression of the test split are judged."""
    videos = by_video(frames)
    label, probability = videos["label"].to_numpy(), sigmoid(videos["logit"] / temperature)
    return {
        "videos": len(videos),
        "auc": metrics.auc(label, probability),
        "balanced_acc": metrics.balanced_accuracy(label, probability),
        "ece": expected_error(label, probability, videos["weight"]),
    }


def ranges(params: Params, paths: Paths) -> dict[str, list[float]]:
    """[least, most] of what can be measured on an input, over training and validation videos.

    crop_pixels: side of the square that is cut, in pixels of the video; detail: see
    `detect.faces.detail`, both of which leave 1 % out at either end; bits_per_pixel: of the H.264
    streams of both compressions, if the videos are still there and no compression was made in
    extraction, of which no stream is left.
    """
    from acfd.detect.faces import detail
    from acfd.shards import PairTable

    table = PairTable(paths.faces)
    index = table.index
    rows = index.index[index["split"].isin(["train", "val"])].to_numpy()
    sides, details = [], []
    for i in spread(rows, _CROPS):
        pair = table.read(int(i))
        sides.append(float(pair["box"][2] - pair["box"][0]))
        details += [detail(pair["high"]), detail(pair["low"])]
    found = {"crop_pixels": _span(sides), "detail": _span(details)}
    if bits := _bits_per_pixel(params):
        found["bits_per_pixel"] = [min(bits), max(bits)]
    return found


def _bits_per_pixel(params: Params) -> list[float]:
    """Of a sample of videos, measured as `acfd detect` measures those of a user."""
    from acfd import datasets
    from acfd.detect.media import look

    try:
        tree = datasets.tree(params)
        clips = [c for c in tree.clips(params.data.methods) if c.split in ("train", "val")]
        if isinstance(tree, datasets.FileSet) and any(
            tree.recipe(quality) for quality in (params.data.high, params.data.low)
        ):
            return []  # those of the stored files alone would make all others look too small
    except (OSError, ValueError):
        return []  # moved away after the faces were cut
    found = []
    for clip in spread(clips, _VIDEOS):
        for quality in (params.data.high, params.data.low):
            try:
                media = look(tree.video_path(clip, quality))
            except ValueError:
                continue  # missing or damaged: left out of the training too
            if media.kind == "video" and media.codec == "h264":
                found.append(media.bits_per_pixel)
    return found


def spread(items: Sequence, most: int) -> list:
    """At most `most` of them, evenly spaced."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]


def _span(values: list[float]) -> list[float]:
    return [float(v) for v in np.quantile(values, [_TAIL, 1 - _TAIL])]


def reliability(scores: pd.DataFrame, found: dict[str, Any]) -> Figure:
    """Probability said against share of forged found, frames and videos, validation and test."""
    import matplotlib.pyplot as plt

    from acfd.figures import FORGED, QUIET, REAL, STYLE

    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(
            1, 2, figsize=(9.4, 4.9), sharex=True, sharey=True, layout="compressed"
        )
    plt.close(fig)
    for ax, what in zip(axes, ("frames", "videos")):
        t, calibrated = found[what]["temperature"], found[what]["calibrated"]
        ax.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":")
        shown = [("val", 1.0, QUIET, "o", "validation, as the network says it")]
        shown += [("val", None, REAL, "s", "validation, temperature of other people")]
        shown += [("test", t, FORGED, "D", f"test, {'' if calibrated else 'un'}calibrated")]
        for split, divisor, colour, marker, name in shown:
            of = scores[scores["split"] == split]
            if not len(of):
                continue
            of = samples(of) if what == "frames" else by_video(samples(of))
            p = sigmoid(of["logit"] / (divisor or held_out(of)))
            bins = reliability_bins(of["label"], p, of["weight"])
            error = expected_error(of["label"], p, of["weight"])
            label = f"{name}: error {error:.3f}"
            ax.plot(bins["said"], bins["found"], color=colour, lw=1.2, label=label)
            ax.scatter(bins["said"], bins["found"], s=12 + 260 * bins["weight"], color=colour,
                       marker=marker, alpha=0.75)  # fmt: skip
        title = f"{what.capitalize()}, {f'temperature {t:.2f}' if calibrated else 'uncalibrated'}"
        ax.set(title=title, xlabel="probability of forged that is said", aspect="equal")
        ax.legend(loc="lower right", fontsize=8, frameon=False, borderaxespad=0.2)
    axes[0].set(ylabel="share of forged that is found", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return fig
