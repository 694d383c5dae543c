"""Face X-ray: Li et al., CVPR 2020 (arXiv 1912.13458). The net draws the seam of a blending, B = 4
M (1 - M) where M is the blending weight (Eq. 2 there), and judges a face by its drawing alone. It
is trained on real faces and on blendings of them that are made afresh (acfd.runs.blended). Other
than in the publication, an Xception with ImageNet weights, four of its scales joined by 1x1
convolutions, stands for HRNet, whose ImageNet weights cannot be had without a model hub; and B is
compared on the net's own grid, a quarter of the crop's side."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.baselines.classifier import ClassifierSystem, scaled
from acfd.method import losses
from acfd.method.backbone import head_and_tail, imagenet_weights
from acfd.method.model import OneBranch, Output, attention_target
from acfd.params import ParamsError

SCALES = {"block1": 128, "block2": 256, "block3": 728, "block12": 1024}  # strides 4, 8, 16, 32
WIDTH = 64  # channels of each scale in the drawing
XRAY_WEIGHT = 100.0  # lambda, Sec. 3.3 there
SEAM = 0.075  # mean of B over fresh pairs, real ones included: where the net starts
# The classifier has one input, which is small. It takes steps that are longer by this, or its
# threshold would not arrive within the few hundred steps of a short training.
FC_LR_SCALE = 10.0


class XrayBranch(nn.Module):
    """An Xception's scales (SCALES) in one drawing, a sigmoid; mean of the map, one layer. B x 3 x
    S x S in [-1, 1] -> Output; attention: the X-ray, B x 1 x s x s with s about S / 4, feature: its
    mean, B x 1. side: that crops are scaled to first, pixels; 0: as they are."""

    def __init__(self, side: int, state: dict[str, Tensor]):
        super().__init__()
        self.side = side
        head, tail = head_and_tail(state)
        self.body = nn.Sequential(*head, *tail[:5])  # to block 12
        self.names = [*dict(head.named_children()), *list(dict(tail.named_children()))[:5]]
        self.narrow = nn.ModuleDict({k: nn.Conv2d(n, WIDTH, 1) for k, n in SCALES.items()})
        self.draw = nn.Conv2d(WIDTH, 1, kernel_size=1)
        self.fc = nn.Linear(1, 2)
        nn.init.normal_(self.draw.weight, std=0.01)
        nn.init.constant_(self.draw.bias, float(torch.logit(torch.tensor(SEAM))))
        with torch.no_grad():  # undecided at SEAM, and sure at none and at twice as much
            self.fc.weight.copy_(torch.tensor([[-1.0], [1.0]]) / SEAM)
            self.fc.bias.copy_(torch.tensor([1.0, -1.0]))

    def forward(self, images: Tensor) -> Output:
        x, parts = scaled(images, self.side), []
        for name, layer in zip(self.names, self.body, strict=True):
            x = layer(x)
            if name in SCALES:
                parts.append(self.narrow[name](x))
        joined, *coarser = parts
        for part in coarser:
            joined = joined + F.interpolate(part, joined.shape[-2:], mode="bilinear")
        logits = self.draw(F.relu(joined))
        xray = torch.sigmoid(logits)
        feature = xray.float().mean(dim=(2, 3))
        return Output(self.fc(feature), feature, xray, None, logits)


class XraySystem(ClassifierSystem):
    """L_c + lambda L_b (Eq. 3 and 4 there), both cross-entropies."""

    map_is_mask = False

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(XrayBranch(params.model.input, imagenet_weights(weights)))

    def __init__(self, params, net):
        """Raises ParamsError where stored forgeries would be trained on."""
        super().__init__(params, net)
        if params.augment.blend != 1:
            raise ParamsError(
                f"augment.blend is {params.augment.blend:g}: Face X-ray learns from blended pairs "
                "made afresh alone; set augment.blend to 1 for it"
            )
        self.weights["xray"] = XRAY_WEIGHT

    def groups(self):
        lr = self.params.train.lr
        *rest, weight, bias = self.net.parameters()  # the classifier is the last layer
        return [{"params": rest, "lr": lr}, {"params": [weight, bias], "lr": FC_LR_SCALE * lr}]

    def terms(self, outputs, batch):
        found = super().terms(outputs, batch)
        target = boundary(batch["soft"])
        parts = []
        for out in outputs:
            share = attention_target(target, out.attention.shape[-2:])
            parts.append(losses.attention_supervision(out.attention_logits, share, "bce"))
        return found | {"xray": torch.stack(parts).mean()}


def boundary(soft: Tensor) -> Tensor:
    """B = 4 M (1 - M) of a blending weight M: 1 where it is a half, 0 in one picture alone."""
    return 4 * soft * (1 - soft)
