"""Calibration: what a score is worth, and the range of inputs for which that was measured.

A network's log-odds are divided by one number, the temperature, fitted on the validation split by
maximum likelihood (Guo et al., "On calibration of modern neural networks", ICML 2017): one for
single frames, one for the mean over a video. Both compressions count alike, and so do real and
forged: a probability is one at even odds before the video was seen. A temperature that does not
help on people that it was not fitted on is left out, and the probability is called uncalibrated.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.utils import compute_sample_weight

from acfd import videos
from acfd.detector.faces import detail
from acfd.detector.files import DeployError, read
from acfd.detector.media import look
from acfd.detector.verdict import as_high
from acfd.faces.shards import PairTable
from acfd.params import Params
from acfd.paths import Paths, atomic
from acfd.results import metrics
from acfd.results.table import read as read_scores
from acfd.sections import Detect

BINS = 10
_RANGE = (0.05, 100.0)  # a score that says nothing has no temperature: it ends here
_FOLDS = 10  # at most, of people
_RESAMPLES = 200
_EDGE = 1e-6  # scores are float32: beyond this they are 0 or 1
_CROPS = 240  # crops that the ranges are read from, a compression
_VIDEOS = 120  # videos, for the same
_TAILS = [0.01, 0.99]  # what is beyond is left out of a range


def write(params: Params, paths: Paths) -> dict[str, Any]:
    """Calibrate the run that `acfd detect` uses; writes metrics/calibration.json and a figure."""
    from acfd import figures

    row, seed = params.detect.row, params.detect.seed
    found = of_scores(params, paths, row, seed)
    with atomic(paths.metrics / "calibration.json") as f:
        f.write_text(json.dumps(found, indent=1) + "\n")
    figures.use_style()
    figure = reliability(read_scores(paths.scores(row, seed), []), found)
    figures.save(figure, paths, "calibration/reliability")
    return found


def of_run(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any] | None:
    """The calibration of a run: as `write` left it, or computed now; None if it was not scored."""
    path = paths.metrics / "calibration.json"
    if path.is_file():
        found = read(path, "`acfd calibrate` writes it anew", "run", "key")
        if (found["run"], found["key"]) == (f"{row}-s{seed}", _key(paths.run(row, seed))):
            return found
    return of_scores(params, paths, row, seed) if paths.scores(row, seed).is_file() else None


def of_scores(params: Params, paths: Paths, row: str, seed: int) -> dict[str, Any]:
    """Temperatures, what they are worth, and the ranges that they hold for. Raises MetricError if
    the validation split lacks real or forged videos, DeployError if the scores are not those of the
    run that is there."""
    path, folder = paths.scores(row, seed), paths.run(row, seed)
    scores, key = read_scores(path, []), _key(folder)
    if (scored := scores.attrs.get("key", "no key")) != key:
        raise DeployError(
            f"{path} has the scores of another training ({scored}) than {folder / 'run.json'} "
            f"({key}); score this one: `dvc repro`, or `acfd score --row {row} --seed {seed}`"
        )
    checked = samples(scores[scores["split"] == "val"])
    fits, real = temperatures(checked), real_odds(checked)
    tested = scores[scores["split"] == "test"].groupby("compression")
    how = fits["videos"]["temperature"], real["videos"], params.detect
    return {
        "run": f"{row}-s{seed}",
        "key": key,
        **fits,
        "real": real,
        "test": {c: on_test(samples(part), *how) for c, part in tested},
        "ranges": ranges(params, paths),
    }


def _key(folder: Path) -> str:
    return read(folder / "run.json", "train it again", "key")["key"]


def temperatures(frames: pd.DataFrame) -> dict[str, Any]:
    """The fits for frames and for videos, from validation `samples`, and how a video's frames
    scatter: the root mean square of their log-odds around the video's mean."""
    within = frames.groupby("clip")["logit"].var().dropna()
    if not len(within):  # of single images nothing is known but how they differ
        within = frames.groupby("label")["logit"].var()
    scatter = float(np.sqrt(within.mean()))
    return {"frames": fit(frames), "videos": fit(by_video(frames)), "scatter": scatter}


def real_odds(frames: pd.DataFrame) -> dict[str, Any]:
    """Log-odds of the real ones among validation `samples`, rising, by compression: of videos, and
    of one frame each, since frames of one video are alike."""
    found = {}
    for what, of in (("frames", frames.drop_duplicates("clip")), ("videos", by_video(frames))):
        real = of[of["label"] == 0]
        groups = real.groupby(real["clip"].str.split("/").str[0])["logit"]
        found[what] = {c: part.sort_values().round(4).tolist() for c, part in groups}
    return found


def samples(scores: pd.DataFrame) -> pd.DataFrame:
    """label, logit, weight (in all 1, half of it real), unit (a pair of people, as in `metrics`)
    and clip of every row of a score file."""
    label = scores["label"].to_numpy(int)
    if not 0 < label.sum() < len(label):
        raise metrics.MetricError(
            "calibration needs real and forged validation videos; found "
            f"{np.sum(label == 0)} real and {np.sum(label == 1)} forged frames"
        )
    clip = scores["compression"] + "/" + scores["method"] + "/" + scores["video"]
    odds = logit(scores["score"].to_numpy(np.float64).clip(_EDGE, 1 - _EDGE))
    unit = metrics.identity_units(scores)
    found = {"label": label, "logit": odds, "unit": unit, "clip": clip.to_numpy()}
    return pd.DataFrame(found | {"weight": _weights(label)})


def by_video(frames: pd.DataFrame) -> pd.DataFrame:
    """The same for videos, whose log-odds are the mean of their frames'."""
    how = {"label": "first", "logit": "mean", "unit": "first"}
    found = frames.groupby("clip").agg(how).reset_index()
    return found.assign(weight=_weights(found["label"]))


def _weights(label) -> np.ndarray:
    return compute_sample_weight("balanced", label) / len(label)


def fit(of: pd.DataFrame) -> dict[str, Any]:
    """The temperature with its 95 % interval from resampled identities, and what it changes on
    people that it was not fitted on: it helps if the log loss there is lower by more than the
    standard error of that over people; else `calibrated` is false, and the temperature 1."""
    label, odds, weight, unit = (of[c].to_numpy() for c in ("label", "logit", "weight", "unit"))
    units, others = int(unit.max()) + 1, odds / held_out(of)
    before, after = losses(label, odds), losses(label, others)
    saved = np.bincount(unit, weight * (before - after))
    calibrated = units > 1 and bool(saved.sum() > np.sqrt(units) * saved.std(ddof=1))
    temperature = best_temperature(label, odds, weight) if calibrated else 1.0
    drawn = [temperature]
    for times in metrics.resample(units, _RESAMPLES)[1:] if units > 1 else []:
        sums = np.bincount(label, times[unit], 2)
        if sums.min() > 0:
            drawn.append(best_temperature(label, odds, times[unit] / sums[label]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "calibrated": calibrated,
        "temperature": temperature,
        "low": min(float(low), temperature),
        "high": max(float(high), temperature),
        "samples": len(of),
        "units": units,
        "ece_before": expected_error(label, expit(odds), weight),
        "ece": expected_error(label, expit(others), weight),
        "log_loss_before": float(weight @ before),
        "log_loss": float(weight @ after),
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


def best_temperature(label: np.ndarray, odds: np.ndarray, weight: np.ndarray) -> float:
    """The divisor of n log-odds at which their weighted log loss is least, in 0.05 ... 100."""
    found = minimize_scalar(
        lambda log_t: weight @ losses(label, odds / np.exp(log_t)),
        bounds=np.log(_RANGE),
        method="bounded",
    )
    return float(np.exp(found.x))


def losses(label: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """-log p(label) of every sample, in nats."""
    return -log_expit(np.where(label == 1, odds, -odds))


def expected_error(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    """Expected calibration error: over ten bins of equal width, the mean distance between the
    probability said and the share of forged found, each bin by its weight (in all 1)."""
    bins = reliability_bins(label, probability, weight)
    return float(bins["weight"] @ (bins["found"] - bins["said"]).abs())


def reliability_bins(label, probability, weight) -> pd.DataFrame:
    """said, found and weight of each bin that holds anything."""
    at = np.minimum(BINS * np.asarray(probability), BINS - 1).astype(int)
    found = {"said": probability * weight, "found": label * weight, "weight": weight}
    bins = pd.DataFrame(found).groupby(at).sum()
    return bins.assign(said=bins["said"] / bins["weight"], found=bins["found"] / bins["weight"])


def on_test(frames: pd.DataFrame, temperature: float, real: dict, p: Detect) -> dict[str, float]:
    """How the videos of one compression of the test split are judged; verdict_fpr and verdict_tpr:
    shares of the real and of the forged ones that are called forged."""
    of = by_video(frames)
    label, probability = of["label"].to_numpy(), expit(of["logit"] / temperature)
    rare = np.array([as_high(odds, real, p)[1] for odds in of["logit"]])
    called = rare & (probability >= p.certainty)
    return {
        "videos": len(of),
        "auc": float(roc_auc_score(label, probability)),
        "balanced_acc": float(balanced_accuracy_score(label, probability >= 0.5)),
        "ece": expected_error(label, probability, of["weight"]),
        "verdict_fpr": float(called[label == 0].mean()),
        "verdict_tpr": float(called[label == 1].mean()),
    }


def ranges(params: Params, paths: Paths) -> dict[str, list[float]]:
    """[least, most] of what can be measured on an input, over training and validation videos.
    crop_pixels (side of the square that is cut) and detail (see `faces`) leave 1 % out at either
    end. bits_per_pixel is of the stored H.264 streams, if these are still there."""
    table = PairTable(paths.faces)
    rows = np.flatnonzero(table.index["split"].isin(["train", "val"]))
    pairs = [table.read(int(i)) for i in _spread(rows, _CROPS)]
    details = [detail(pair[quality]) for pair in pairs for quality in ("high", "low")]
    found = {"crop_pixels": [p["box"][2] - p["box"][0] for p in pairs], "detail": details}
    found = {name: np.quantile(values, _TAILS).tolist() for name, values in found.items()}
    if bits := _bits_per_pixel(params):
        found["bits_per_pixel"] = [min(bits), max(bits)]
    return found


def _bits_per_pixel(params: Params) -> list[float]:
    """Of a sample of videos, measured as `acfd detect` measures those of a user."""
    qualities, found = (params.data.high, params.data.low), []
    try:
        tree = videos.tree(params)
        clips = [c for c in tree.clips(params.data.methods) if c.split in ("train", "val")]
        if isinstance(tree, videos.FileSet) and any(map(tree.recipe, qualities)):
            return []  # those of the stored files alone would make all others look too small
    except (OSError, ValueError):
        return []  # moved away after the faces were cut
    for clip in _spread(clips, _VIDEOS):
        for quality in qualities:
            try:
                media = look(tree.video_path(clip, quality))
            except ValueError:
                continue  # missing or damaged: left out of the training too
            if media.kind == "video" and media.codec == "h264":
                found.append(media.bits_per_pixel)
    return found


def _spread(items: Sequence, most: int) -> list:
    """At most `most` of them, evenly spaced."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]


def reliability(scores: pd.DataFrame, found: dict[str, Any]):
    """A figure: probability said against share of forged found, of frames and of videos."""
    # whoever only reads a calibration waits for no plotting library
    from acfd.figures import FORGED, QUIET, REAL, subplots

    fig, axes = subplots(1, 2, (9.4, 4.9), sharex=True, sharey=True, layout="compressed")
    splits = {name: samples(of) for name, of in scores.groupby("split") if name != "train"}
    for ax, what in zip(axes[0], ("frames", "videos")):
        t = found[what]["temperature"]
        state = f"temperature {t:.2f}" if found[what]["calibrated"] else "uncalibrated"
        ax.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":")
        for split, divisor, colour, marker, name in (
            ("val", 1.0, QUIET, "o", "validation, as the network says it"),
            ("val", None, REAL, "s", "validation, temperature fitted on other people"),
            ("test", t, FORGED, "D", f"test, {state}"),
        ):
            if split not in splits:
                continue
            of = splits[split] if what == "frames" else by_video(splits[split])
            said = of["label"], expit(of["logit"] / (divisor or held_out(of))), of["weight"]
            bins, label = reliability_bins(*said), f"{name}: error {expected_error(*said):.3f}"
            x, y, size = bins["said"], bins["found"], 12 + 260 * bins["weight"]
            ax.plot(x, y, color=colour, lw=1.2, marker=marker, ms=3, label=label)
            ax.scatter(x, y, s=size, color=colour, marker=marker, alpha=0.75)
        title = f"{what.capitalize()}, {state}"
        ax.set(title=title, xlabel="probability of forged that is said", aspect="equal")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), fontsize=7, frameon=False)
    axes[0, 0].set(ylabel="share of forged that is found", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return fig
