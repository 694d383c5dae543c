"""A plain Xception: ImageNet weights, one network for every quality that it is shown."""

from acfd.baselines.classifier import ClassifierSystem
from acfd.method.backbone import head_and_tail, imagenet_weights
from acfd.method.model import Branch, OneBranch


class XceptionSystem(ClassifierSystem):
    """The paper's baseline, by params.train.qualities trained on c23, on c40 or on both."""

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(Branch(*head_and_tail(imagenet_weights(weights))))
