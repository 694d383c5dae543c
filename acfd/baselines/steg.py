"""Steganalysis features and a linear SVM: Fridrich and Kodovsky's rich-model idea (TIFS 2012), cut
down to one residual, as FaceForensics++ (Roessler et al., ICCV 2019) used it on the centre of a
face: 162 counts of small patterns in what a high-pass filter leaves of the grey image."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from tqdm import tqdm

from acfd.baselines.classifier import ClassifierSystem
from acfd.method.model import OneBranch, Output
from acfd.runs import pairs
from acfd.runs.loop import History, Loop
from acfd.runs.train import terms_of

CENTRE = 128  # pixels
PATTERN = 4  # neighbouring residuals
BINS = 3**PATTERN  # of one direction: a residual is -1, 0 or 1
FEATURES = 2 * BINS
STEPS = (1, 2, 4)  # of the quantiser, grey levels
COSTS = (0.001, 0.01, 0.1, 1.0, 10.0)  # the SVM's C
LEAST = 4  # faces of each class


class StegBranch(nn.Module):
    """Features, their standardisation and a linear decision; nothing here is trained by gradients.
    B x 3 x S x S in [-1, 1] -> Output; feature: the standardised features, B x 162. The logits are
    [-d/2, d/2] for the SVM's decision d; the probability of forged is not calibrated."""

    def __init__(self):
        super().__init__()
        self.register_buffer("quantiser", torch.tensor(STEPS[0]))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.fc = nn.Linear(FEATURES, 2)

    def forward(self, images: Tensor) -> Output:
        # at half precision neighbouring decisions would become ties
        with torch.autocast(images.device.type, enabled=False):
            found = features(images.float(), int(self.quantiser))
            feature = (found - self.mean) / self.scale
            return Output(self.fc(feature), feature, None, None)

    @torch.no_grad()
    def fill(self, quantiser: int, mean: Tensor, scale: Tensor, svm: LinearSVC):
        """Take over what was fitted."""
        self.quantiser.fill_(quantiser)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        half = torch.from_numpy(np.append(svm.coef_[0], svm.intercept_) / 2).float()
        self.fc.weight.copy_(torch.stack([-half[:-1], half[:-1]]))
        self.fc.bias.copy_(torch.stack([-half[-1], half[-1]]))


def grey(images: Tensor) -> Tensor:
    """B x 3 x H x W in [-1, 1] -> B x H x W, whole numbers 0 to 255 (int32). Weights of BT.601 in
    the whole numbers that OpenCV computes with."""
    red, green, blue = ((images + 1) * 127.5).round().to(torch.int32).unbind(1)
    return (9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15


def features(images: Tensor, quantiser: int) -> Tensor:
    """Shares of the 81 horizontal and of the 81 vertical patterns: B x 162, each half sums to 1.
    images: B x 3 x S x S in [-1, 1]; S at least 7, of more than 128 the centre is taken. A pattern
    is four neighbouring residuals x1 - 3 x2 + 3 x3 - x4, divided by the quantiser, rounded (a half
    to the even number, so that 1, 2 and 4 are three quantisers) and clipped to -1, 0, 1."""
    side = images.shape[-1]
    if side > CENTRE:
        start = (side - CENTRE) // 2
        images = images[:, :, start : start + CENTRE, start : start + CENTRE]
    x = grey(images)
    return torch.cat([_patterns(x, quantiser), _patterns(x.mT, quantiser)], dim=1)


def _patterns(x: Tensor, quantiser: int) -> Tensor:
    """Along the last axis: B x H x W -> B x 81; the first of a pattern is its highest digit."""
    residual = x[..., :-3] - 3 * x[..., 1:-2] + 3 * x[..., 2:-1] - x[..., 3:]
    symbol = (residual / quantiser).round().clamp(-1, 1).long() + 1
    each = symbol.unfold(-1, PATTERN, 1)
    digits = torch.tensor([3**k for k in reversed(range(PATTERN))], device=x.device)
    index = (each * digits).sum(-1).flatten(1)
    of_image = torch.arange(len(x), device=x.device)[:, None] * BINS
    counts = torch.bincount((index + of_image).flatten(), minlength=BINS * len(x))
    return counts.view(-1, BINS).float() / index.shape[1]


class StegSystem(ClassifierSystem):
    """Fitted at once: quantiser and C are the ones with the best AUC on the validation faces."""

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(StegBranch())

    def fit(
        self, data, batches, validation, params, seed, scratch, fabric, callbacks=(), progress=True
    ) -> History:
        """In place of train.fit, with its arguments and its kind of history: one epoch, whose steps
        are the (quantiser, C) tried, each with the loss on the training faces, read once, as
        stored. The seed decides nothing, and a killed run starts anew. Raises ValueError for too
        few faces, and where forgeries are made afresh."""
        began = time.perf_counter()
        stored = pairs.Pairs(data.table, None, seed)
        known = pairs.InOrder(_checked(batches.rows, params), params.score.batch)

        def collected(data, batches, qualities):
            loader = pairs.loader(data, batches, params.compute.workers)
            shown = tqdm(loader, desc="faces", unit="batch", disable=not progress, leave=False)
            return _collected(shown, qualities, fabric.device)

        train, labels = collected(stored, known, params.train.qualities)
        val, val_labels = collected(*validation, [self.judged])
        history, best = History(), None
        for quantiser in STEPS:
            mean, scale = moments(train[quantiser])
            scaled, val_scaled = ((f[quantiser] - mean) / scale for f in (train, val))
            for cost in COSTS:
                svm, loss = _fitted(scaled.numpy(), labels, cost)
                auc = float(roc_auc_score(val_labels, svm.decision_function(val_scaled.numpy())))
                record = {"loss": self.params.loss.cls * loss, "cls": loss}
                record |= {"quantiser": quantiser, "cost": cost, "val_auc": auc}
                history.steps.append({"epoch": 1, "step": len(history.steps) + 1} | record)
                if best is None or auc > best["val_auc"]:  # of equals the first: the smaller one
                    best = record
                    self.deployed.fill(quantiser, mean, scale, svm)
        fabric.to_device(self.net)
        loop = Loop(self, params, fabric, scratch)
        found = loop.validate(pairs.loader(*validation, params.compute.workers))
        history.close_epoch(found, terms_of(self), time.perf_counter() - began)
        # of the one that is kept, not the mean of all that were tried
        history.epochs[-1] |= {"train_loss": best["loss"], "train_cls": best["cls"]}
        history.stopped = "fitted"
        for callback in callbacks:
            callback(history)
        return history


def _checked(of_class: list[np.ndarray], params) -> np.ndarray:
    """All training rows, real ones first."""
    a = params.augment
    if a.blend or a.degrade:
        raise ValueError(
            f"augment.blend is {a.blend}, augment.degrade {a.degrade}: the SVM is fitted on faces "
            "as they are stored; set both to 0 for this row"
        )
    real, forged = map(len, of_class)
    if min(real, forged) < LEAST:
        raise ValueError(
            f"too few faces for the SVM: {real} real and {forged} forged ones in the train split, "
            f"expected at least {LEAST} of each; raise faces.frames or the number of videos"
        )
    return np.concatenate(of_class)


def _collected(loader, qualities, device) -> tuple[dict[int, Tensor], Tensor]:
    """Features by quantiser (N x 162, float64) and labels (N) of every face at every quality."""
    found, labels = {quantiser: [] for quantiser in STEPS}, []
    for item in loader:
        batch = pairs.prepare(item, device, channels_last=False)
        for quality in qualities:
            labels.append(item["label"])
            for quantiser, parts in found.items():
                parts.append(features(batch[quality], quantiser).cpu())
    return {q: torch.cat(parts).double() for q, parts in found.items()}, torch.cat(labels)


def moments(train: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale (float64) that give features (N x 162) mean 0 and deviation 1."""
    scale, mean = torch.std_mean(train, dim=0, correction=0)
    scale[scale < 1e-12] = 1  # a pattern that no training face has, or all alike
    return mean, scale


def _fitted(features: np.ndarray, labels: Tensor, cost: float) -> tuple[LinearSVC, float]:
    """An SVM and its loss on the faces that it is fitted to."""
    # the primal problem has 163 unknowns, however many faces there are, and no random order
    svm = LinearSVC(C=cost, class_weight="balanced", dual=False, max_iter=10_000)
    svm.fit(features, labels.numpy())
    decision = torch.from_numpy(svm.decision_function(features))
    each = F.softplus(torch.where(labels == 1, -decision, decision))
    return svm, float(sum(each[labels == k].mean() for k in (0, 1)) / 2)
