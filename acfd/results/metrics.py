"""Accuracy, balanced accuracy, AUC, EER, PBCA and IoU, with intervals by resampling identities.

Frames of one person are not independent, so what is resampled is the *unit*: a pair of people
{target, source} with their real videos and the fakes made of them (cluster bootstrap). Every
metric is first reduced to a few sums a unit; a resample then only weighs those sums, and all
resamples are one matrix product. `weights` below is R x U: how often each of U units is drawn in
each of R resamples, where resample 0 is the sample itself (see `resample`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import stdtrit

PIXELS = ["tp", "fp", "fn", "tn"]
_LEAST_P = 1e-9  # below it a p-value is 0


class MetricError(ValueError):
    """A metric that these samples leave undefined; the message says what is missing."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, and what that says of zero: p is the smallest share left to
    its tails at which it reaches zero. left_out counts the resamples that had lost a class."""

    value: float
    low: float
    high: float
    p: float
    left_out: int

    def columns(self, name: str) -> dict[str, float]:
        return {name: self.value, f"{name}_lo": self.low, f"{name}_hi": self.high}


def choose_threshold(val: pd.DataFrame) -> float:
    """The threshold with the best balanced accuracy on validation samples (label, score), midway
    between neighbouring scores; of equally good ones the nearest to 0.5."""
    label, score = _checked(val["label"], val["score"])
    values = np.unique(score)
    candidates = np.concatenate([[0.5, 0.0], (values[1:] + values[:-1]) / 2])
    real, forged = np.sort(score[~label]), np.sort(score[label])
    true_negative = np.searchsorted(real, candidates) / real.size
    false_negative = np.searchsorted(forged, candidates) / forged.size
    gain = true_negative - false_negative
    best = candidates[gain >= gain.max() - 1e-12]  # equal but for rounding
    return float(best[np.abs(best - 0.5).argmin()])


def identity_units(samples: pd.DataFrame) -> np.ndarray:
    """The unit of every sample (columns label, target, source), 0 ... U - 1: people whom some fake
    joins share one, which the official splits make a pair. A person in no fake is alone."""
    target, source = (samples[c].to_numpy(str) for c in ("target", "source"))
    fake = samples["label"].to_numpy() == 1
    if (source[fake] == "").any():
        row = samples[fake & (source == "")].iloc[0]
        raise MetricError(f"{row['method']} {row['video']}: a fake without source; expected its id")
    people = np.unique(np.concatenate([target, source[fake]]))
    a, b = (np.searchsorted(people, who[fake]) for who in (target, source))
    joined = coo_array((np.ones(a.size), (a, b)), shape=(people.size, people.size))
    part = connected_components(joined, directed=False)[1][np.searchsorted(people, target)]
    return np.unique(part, return_inverse=True)[1]


def resample(units: int, times: int, seed: int = 0) -> np.ndarray:
    """Weights (times + 1) x units: row 0 all ones, the others draws of the units with replacement.
    Raises MetricError for fewer than two units."""
    if units < 2:
        raise MetricError(f"{units} pair(s) of people in the split; an interval needs at least 2")
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), times)
    return np.vstack([np.ones(units), drawn])


def measure(
    samples: pd.DataFrame, weights: np.ndarray, val_threshold: float | None = None
) -> dict[str, np.ndarray]:
    """Every metric in every resample: R numbers each, the first of them the estimate.

    samples: one run at one compression, with the column unit. balanced_acc_val is there if a
    threshold from validation is given; pbca (share of the attention map's cells that are judged
    right), iou (of map and mask) and pbca_empty (the PBCA of a map that is zero everywhere) if the
    run has maps and the forgeries have masks. A resample that has lost a class is NaN.
    """
    of_video = {"score": "mean", "label": "first", "unit": "first"}
    frame, video = (
        [of[c].to_numpy() for c in ("label", "score", "unit")] + [weights]
        for of in (samples, samples.groupby(["method", "video"]).agg(of_video))
    )
    out = {}
    out["acc"], out["balanced_acc"] = _accuracies(*frame, 0.5)
    if val_threshold is not None:
        out["balanced_acc_val"] = _accuracies(*frame, val_threshold)[1]
    out["auc"] = _auc(*frame)
    out["eer"] = _eer(*frame)
    out["video_balanced_acc"] = _accuracies(*video, 0.5)[1]
    out["video_auc"] = _auc(*video)
    # real faces are compared with an empty mask: they have pixels even where no forgery has a mask
    forged = samples[samples["label"] == 1]
    if forged[PIXELS].any(axis=None):
        tp, fp, fn, tn = (total(weights, forged["unit"], forged[c]) for c in PIXELS)
        cells = tp + fp + fn + tn
        out["pbca"], out["iou"] = ratio(tp + tn, cells), ratio(tp, tp + fp + fn)
        out["pbca_empty"] = ratio(fp + tn, cells)
    return out


def interval(
    replicates: np.ndarray,
    units: int,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The mean over S training seeds of S x R resamples (or R), the first of them the estimates.

    Two things vary: which people are tested, by the resamples of the mean over seeds, and which
    seeds were trained, by the estimates' variance over seeds / S. Each has its own Student's t,
    with units - 1 and S - 1 degrees of freedom, and the half-widths add as squares (Howe, JASA
    1974; Zou and Donner, Statistics in Medicine 2008). One variance with Welch and Satterthwaite's
    degrees of freedom covers too little with 3 seeds. Of one seed the interval is of people only.
    Raises MetricError if the estimate is undefined or half of the resamples or more are.
    """
    replicates = np.atleast_2d(replicates)
    seeds, mean = len(replicates), replicates.mean(axis=0)
    value, rest = float(mean[0]), mean[1:]
    kept = rest[np.isfinite(rest)]
    if not np.isfinite(value) or 2 * kept.size <= rest.size:
        raise MetricError(
            f"{rest.size - kept.size} of {rest.size} resamples of {units} units have lost a class; "
            "too few people in the split for an interval"
        )
    parts = [(units - 1, kept.std() * np.sqrt(units / (units - 1)))]
    if seeds > 1:
        parts.append((seeds - 1, replicates[:, 0].std(ddof=1) / np.sqrt(seeds)))

    def half(tails: float) -> float:
        """Half the width of the interval that leaves this share to both tails together."""
        return float(np.hypot.reduce([-stdtrit(df, tails / 2) * error for df, error in parts]))

    low, high = np.clip([value - half(1 - confidence), value + half(1 - confidence)], *bounds)
    if abs(value) >= half(_LEAST_P):
        p = 0.0 if value else 1.0
    else:
        p = brentq(lambda tails: half(tails) - abs(value), _LEAST_P, 1.0)
    return Interval(value, float(low), float(high), float(p), int(rest.size - kept.size))


def holm(p: np.ndarray) -> np.ndarray:
    """P-values of several comparisons, each raised so that comparing all of them with a level keeps
    the chance of any false finding below it (Holm 1979). NaN is no comparison and stays."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN come last
    raised = p.copy()
    factors = np.arange(order.size, 0, -1)
    raised[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return raised


def _checked(label, score) -> tuple[np.ndarray, np.ndarray]:
    label, score = np.asarray(label, dtype=bool), np.asarray(score, dtype=np.float64)
    if label.all() or not label.any():
        raise MetricError(f"{label.sum()} of {label.size} samples are forged; both are needed")
    return label, score


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)


def total(weights: np.ndarray, unit, values=None) -> np.ndarray:
    """The sum of a number a sample in every resample, R; without values, how many samples."""
    return weights @ np.bincount(unit, values, minlength=weights.shape[1])


def _accuracies(label, score, unit, weights, threshold) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and balanced accuracy, R each."""
    label, score = _checked(label, score)
    right = label == (score >= threshold)
    of = (label, ~label, label & right, ~label & right)
    forged, real, tp, tn = (total(weights, unit[samples]) for samples in of)
    balanced = (ratio(tp, forged) + ratio(tn, real)) / 2
    acc = ratio(tp + tn, forged + real)
    return np.where(np.isnan(balanced), np.nan, acc), balanced


def _auc(label, score, unit, weights) -> np.ndarray:
    """AUC, R: a quadratic form, since the won comparisons of unit u's fakes with unit v's reals
    count as often as u times v is drawn."""
    label, score = _checked(label, score)
    n = weights.shape[1]
    forged = score[label]
    order = np.argsort(forged)  # sorted queries are several times faster
    forged, forged_unit = forged[order], unit[label][order]
    wins = np.zeros((n, n))
    for v in np.unique(unit[~label]):
        real = np.sort(score[~label & (unit == v)])
        below = np.searchsorted(real, forged, "left") + np.searchsorted(real, forged, "right")
        wins[:, v] = np.bincount(forged_unit, below / 2, minlength=n)
    pairs = total(weights, unit[label]) * total(weights, unit[~label])
    return ratio(((weights @ wins) * weights).sum(1), pairs)


def _eer(label, score, unit, weights) -> np.ndarray:
    """EER, R: FNR - FPR rises with the threshold, so its zero is bisected in all resamples at once,
    on counts that are cumulated over the sorted scores a unit."""
    label, score = _checked(label, score)
    values, rank = np.unique(score, return_inverse=True)
    shape = (values.size + 1, weights.shape[1])
    below = np.zeros((2, *shape), dtype=np.int32)  # class, threshold, unit: samples below threshold
    np.add.at(below, (label.astype(int), rank + 1, unit), 1)
    np.cumsum(below, axis=1, out=below)
    real, forged = weights @ below[0, -1], weights @ below[1, -1]

    def errors(k):
        fnr = ratio((weights * below[1, k]).sum(1), forged)
        return fnr, 1 - ratio((weights * below[0, k]).sum(1), real)

    left, right = np.zeros(len(weights), int), np.full(len(weights), values.size)
    while (right - left > 1).any():
        middle = (left + right) // 2
        fnr, fpr = errors(middle)
        low = fnr <= fpr
        left, right = np.where(low, middle, left), np.where(low, right, middle)
    (fnr, fpr), (fnr_next, fpr_next) = errors(left), errors(right)
    step = ratio(fpr - fnr, (fpr - fnr) + (fnr_next - fpr_next))
    return fnr + step * (fnr_next - fnr)
