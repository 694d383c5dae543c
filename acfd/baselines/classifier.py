"""What every baseline is: one network and L_Cls."""

import torch
import torch.nn.functional as F

from acfd.method.system import System


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
