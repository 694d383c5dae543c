"""A plain Xception: ImageNet weights, one network for every quality that it is shown."""

from __future__ import annotations

from acfd.method import model
from acfd.method.system import ClassifierSystem


class XceptionSystem(ClassifierSystem):
    """The paper's baseline, by params.train.qualities trained on c23, on c40 or on both."""

    @classmethod
    def network(cls, params, weights, seed):
        return model.build("xception", weights=weights, seed=seed)
