"""Face X-ray: Li et al., CVPR 2020 (arXiv 1912.13458).

The net draws the seam of a blending, B = 4 M (1 - M) where M is the blending weight (Eq. 2 there),
and judges a face by its drawing alone. It is trained on real faces and on blendings of them that
are made afresh (acfd.fresh), and sees no forgery of the data set.

Other than in the publication: HRNet-W18-small-v2 stands for the larger HRNet; it starts from random
weights unless model.weights is "timm", which has timm download its ImageNet weights; and B is
compared on the net's own grid, a quarter of the crop's side, not on the crop's pixels.
"""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd import losses
from acfd.backbone import WeightsError
from acfd.model import OneBranch, Output
from acfd.params import ParamsError
from acfd.systems import ClassifierSystem

BODY = "hrnet_w18_small_v2"
STRIDE = 32  # a crop's side over its smallest map's: HRNet takes multiples of it only
XRAY_WEIGHT = 100.0  # lambda, Sec. 3.3 there
SEAM = 0.075  # mean of B over fresh pairs, real ones included: where the net starts
# The classifier has one input, which is small. It takes steps that are longer by this, or its
# threshold would not arrive within the few hundred steps of a short training.
FC_LR_SCALE = 10.0
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # of RGB in [0, 1]


class XrayBranch(nn.Module):
    """HRNet, a 1x1 convolution over its four scales, a sigmoid; mean of the map, one layer.

    forward: B x 3 x S x S in [-1, 1] -> Output; attention: the X-ray, B x 1 x s x s with s = S / 4,
    feature: its mean, B x 1.
    side: that crops are scaled to first, pixels; 0: as they are. Either is rounded to the nearest
    multiple of 32.
    """

    def __init__(self, side: int, pretrained: bool = False):
        super().__init__()
        self.side = side
        self.body = _body(pretrained)
        self.draw = nn.Conv2d(sum(self.body.feature_info.channels()), 1, kernel_size=1)
        self.fc = nn.Linear(1, 2)
        nn.init.normal_(self.draw.weight, std=0.01)
        nn.init.constant_(self.draw.bias, float(torch.logit(torch.tensor(SEAM))))
        with torch.no_grad():  # undecided at SEAM, and sure at none and at twice as much
            self.fc.weight.copy_(torch.tensor([[-1.0], [1.0]]) / SEAM)
            self.fc.bias.copy_(torch.tensor([1.0, -1.0]))
        for name, values in IMAGENET.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Output:
        side = max(STRIDE, STRIDE * round((self.side or images.shape[-1]) / STRIDE))
        if images.shape[-1] != side:
            how = {"mode": "bilinear", "antialias": True, "align_corners": False}
            images = F.interpolate(images, (side, side), **how)
        scales = self.body(((images + 1) / 2 - self.mean) / self.std)
        size = scales[0].shape[-2:]
        wide = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in scales[1:]]
        xray = torch.sigmoid(self.draw(torch.cat([scales[0], *wide], dim=1)))
        feature = xray.float().mean(dim=(2, 3))
        return Output(self.fc(feature), feature, xray, None)


def _body(pretrained: bool) -> nn.Module:
    """HRNet without a head: B x 3 x S x S -> four maps, of S / 4, S / 8, S / 16 and S / 32."""
    how = {"features_only": True, "feature_location": "", "out_indices": (1, 2, 3, 4)}
    try:
        return timm.create_model(BODY, pretrained=pretrained, **how)
    except Exception as error:
        if not pretrained:
            raise
        raise WeightsError(
            f"timm could not download {BODY} ({type(error).__name__}: {error}). Without a network "
            "set model.weights of this row to auto: Face X-ray then starts from random weights."
        ) from error


class XraySystem(ClassifierSystem):
    """L_c + lambda L_b (Eq. 3 and 4 there), both cross-entropies."""

    map_is_mask = False

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(XrayBranch(params.model.input, pretrained=weights == "timm"))

    def __init__(self, params, net):
        """Raises ParamsError where stored forgeries would be trained on."""
        super().__init__(params, net)
        if params.augment.blend != 1:
            raise ParamsError(
                f"augment.blend is {params.augment.blend:g}: Face X-ray needs masks of blended "
                "images, and so learns from pairs made afresh alone; set augment.blend to 1 for it"
            )
        self.weights["xray"] = XRAY_WEIGHT

    def groups(self):
        lr = self.params.train.lr
        last = list(self.net.low.fc.parameters())
        known = {id(p) for p in last}
        rest = [p for p in self.net.parameters() if id(p) not in known]
        return [{"params": rest, "lr": lr}, {"params": last, "lr": FC_LR_SCALE * lr}]

    def terms(self, outputs, batch):
        if "soft" not in batch:
            raise ValueError(
                "Face X-ray was given a batch without `soft`, the blending weight; it needs masks "
                "of blended images: pairs made afresh (augment.blend 1)"
            )
        found = super().terms(outputs, batch)
        target = boundary(batch["soft"])
        parts = []
        for out in outputs:
            share = losses.attention_target(target, out.attention.shape[-2:])
            parts.append(losses.attention_supervision(out.attention, share, "bce"))
        return found | {"xray": torch.stack(parts).mean()}


def boundary(soft: Tensor) -> Tensor:
    """B = 4 M (1 - M) of a blending weight M in [0, 1] (any shape): 1 where M is a half, 0 where a
    pixel comes from one picture alone."""
    return 4 * soft * (1 - soft)
