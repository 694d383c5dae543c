"""What every baseline is: one network and L_Cls; and layers that several need."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.method.system import System
from acfd.runs.pairs import mix


class ClassifierSystem(System):
    """L_Cls alone, on one quality or on both as independent images (params.train.qualities). Its
    `network` is a `model.OneBranch` around any branch that has an `fc`."""

    def __init__(self, params, net):
        super().__init__(params, net)
        self.weights = {"cls": params.loss.cls}

    @property
    def judged(self):
        return "low" if "low" in self.params.train.qualities else "high"

    def inputs(self, batch):
        return tuple(batch[quality] for quality in self.params.train.qualities)

    def terms(self, outputs, batch):
        parts = [F.cross_entropy(o.logits.float(), batch["label"]) for o in outputs]
        return {"cls": torch.stack(parts).mean()}


class Dropout(nn.Module):
    """Dropout that a resumed run repeats: its noise follows from a seed and a count of steps, a
    buffer that is saved with the weights, not from torch's own generator, which is not part of a
    run's resume state. Processes that train together draw the same noise. share: of the values that
    are zeroed in training; stream: tells the dropouts of a net apart."""

    def __init__(self, share: float, seed: int, stream: int = 0):
        super().__init__()
        self.share, self.seed, self.stream = share, seed, stream
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        # drawn on the CPU, so that the noise is the same on every device
        generator = torch.Generator().manual_seed(mix(self.seed, self.stream, int(self.step)))
        kept = torch.rand(x.shape, generator=generator) >= self.share
        self.step += 1
        return x * kept.to(x.device, x.dtype) / (1 - self.share)


def scaled(images: Tensor, side: int) -> Tensor:
    """B x C x S x S -> B x C x side x side; 0: as they are."""
    if side in (0, images.shape[-1]):
        return images
    size = (side, side)
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
