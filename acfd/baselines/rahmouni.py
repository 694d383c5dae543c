"""CustomPooling CNN: Rahmouni et al., WIFS 2017, the network they call Stats-2L, built to tell
computer graphics from photographs. Layers and initial values are those of the authors' code
(CGvsPhoto); it read the green channel of 100 px patches, we give it the colour of the whole crop.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.baselines.classifier import ClassifierSystem, Dropout
from acfd.method.model import OneBranch, Output

CHANNELS = (32, 64)
FEATURES = 1024


class StatsBranch(nn.Module):
    """Two convolutions, four statistics of each channel over all pixels, two dense layers. B x 3 x
    S x S in [-1, 1], any S -> Output; feature: the hidden layer, B x 1024."""

    def __init__(self, seed: int):
        super().__init__()
        first, second = CHANNELS
        self.conv1 = nn.Conv2d(3, first, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(first, second, kernel_size=3, padding=1)
        self.hidden = nn.Linear(4 * second, FEATURES)
        self.dropout = Dropout(0.5, seed)
        self.fc = nn.Linear(FEATURES, 2)
        # truncated normal draws; biases around 0.5, so that no unit starts switched off
        for layer in (self.conv1, self.conv2, self.hidden, self.fc):
            std = math.sqrt(2 / layer.weight[0].numel())
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.trunc_normal_(layer.bias, mean=0.5, std=0.1, a=0.3, b=0.7)

    def forward(self, images: Tensor) -> Output:
        x = (images + 1) / 2  # the authors' range
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        feature = F.relu(self.hidden(statistics(x)))
        return Output(self.fc(self.dropout(feature)), feature, None, None)


def statistics(maps: Tensor) -> Tensor:
    """Mean, variance (divided by the number of pixels), minimum and maximum of each channel:
    B x C x H x W -> B x 4C, in float32."""
    pixels = maps.float().flatten(2)
    variance, mean = torch.var_mean(pixels, dim=2, correction=0)
    return torch.cat([mean, variance, pixels.amin(2), pixels.amax(2)], dim=1)


class RahmouniSystem(ClassifierSystem):
    """Softmax and cross-entropy, as the authors trained it."""

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(StatsBranch(seed))
