"""F3-Net: Qian et al., ECCV 2020, "Thinking in Frequency: Face Forgery Detection by Mining
Frequency-aware Clues".

Two Xceptions side by side. One sees the image decomposed into frequency bands (FAD), the other how
much of each band there is around every pixel (LFS); MixBlocks after block 7 and block 12 let each
look at what the other has found. Both pooled features together are classified.

Readings, where the paper leaves a choice: FAD has the three bands of the paper, not the whole
spectrum as a fourth. A share of the spectrum is a share of its area, counted from the low corner in
diagonals of equal u + v, the order in which JPEG reads coefficients. LFS takes the DCT of luma in
grey levels (0 to 255), and log10 of 1 + the summed amplitudes: a flat window is 0, not minus
infinity. Its windows are laid so that the map has the size that the first convolution, of stride 2,
gives the other stream (149 x 149 at 299 px, as published); its own first convolution has stride 1.
The paper draws the MixBlock and prints no formula. Optimiser and schedule are those of
every other row here, not the paper's SGD."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.baselines.classifier import ClassifierSystem
from acfd.method.backbone import FEATURES, MID_CHANNELS, head_and_tail, imagenet_weights
from acfd.method.model import OneBranch, Output

LUMA = (0.299, 0.587, 0.114)  # of R, G, B; ITU-R BT.601
LATE_CHANNELS = 1024  # after block 12
WINDOW, STRIDE, BANDS = 10, 2, 6  # of LFS


def dct_matrix(size: int) -> Tensor:
    """D with D @ x the orthonormal DCT-II of the columns of x; D.T is its inverse."""
    n = torch.arange(size, dtype=torch.float64)
    d = math.sqrt(2 / size) * torch.cos(math.pi / size * (n + 0.5) * n[:, None])
    d[0] /= math.sqrt(2)
    return d.float()


class Filters(nn.Module):
    """f_base + sigma(f_w): fixed band-pass filters, and learnt ones squashed to (-1, 1), N x size x
    size. edges: N + 1 rising numbers; the n-th band passes the coefficients (u, v) of a size x size
    spectrum with edges[n] <= u + v < edges[n + 1]."""

    def __init__(self, size: int, edges: list[float]):
        super().__init__()
        n = torch.arange(size)
        diagonal = n[:, None] + n
        bands = [(diagonal >= a) & (diagonal < b) for a, b in pairwise(edges)]
        self.register_buffer("base", torch.stack(bands).float(), persistent=False)
        # not zero: LFS sees |f|, whose gradient is zero there
        self.learnt = nn.Parameter(0.1 * torch.randn(len(bands), size, size))

    def forward(self) -> Tensor:
        return self.base + torch.tanh(self.learnt / 2)


class Decomposition(nn.Module):
    """FAD: B x 3 x S x S -> B x 9 x S x S, the low (the first 1/16 of the spectrum), middle (on to
    1/8) and high band (the rest) of every colour."""

    def __init__(self, size: int):
        super().__init__()
        # the corner u + v < t of a spectrum has the share t^2 / (2 S^2) of its area
        edges = [0.0, size * math.sqrt(2 / 16), size * math.sqrt(2 / 8), 2.0 * size]
        self.filters = Filters(size, edges)
        self.register_buffer("dct", dct_matrix(size), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):  # amplitudes span four decades
            d = self.dct
            spectrum = d @ images.float().contiguous() @ d.T
            bands = spectrum[:, None] * self.filters()[:, None]  # B x bands x 3 x S x S
            return (d.T @ bands @ d).flatten(1, 2)


class Statistics(nn.Module):
    """LFS: B x 3 x S x S in [-1, 1] -> B x M x n x n with n = (S - 1) // 2: log10(1 + sum of |DCT
    coefficient x filter|) of the luma in windows of 10 x 10 pixels, two pixels apart, one channel a
    band. The border is continued by reflection, so that no edge that is not in the image shows."""

    def __init__(self):
        super().__init__()
        diagonals = 2 * WINDOW - 1
        self.filters = Filters(WINDOW, [diagonals * i / BANDS for i in range(BANDS + 1)])
        d = dct_matrix(WINDOW)
        # coefficient (u, v) of a window = its correlation with the outer product of rows u and v
        kernels = torch.einsum("ui,vj->uvij", d, d).reshape(-1, 1, WINDOW, WINDOW)
        self.register_buffer("kernels", kernels.contiguous(), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            grey = ((images.float() * self.luma).sum(dim=1, keepdim=True) + 1) * 127.5
            side = grey.shape[-1]
            missing = ((side - 1) // 2 - 1) * STRIDE + WINDOW - side
            before, after = (missing + 1) // 2, missing // 2
            grey = F.pad(grey, (before, after, before, after), mode="reflect")
            amplitudes = F.conv2d(grey, self.kernels, stride=STRIDE).abs()
            # |sum| over a band of non-negative terms: a 1 x 1 convolution with |filter|
            weight = self.filters().abs().flatten(1)[:, :, None, None]
            return torch.log10(1 + F.conv2d(amplitudes, weight))


class MixBlock(nn.Module):
    """Cross-attention between two maps of the same shape, B x C x s x s each, in and out: one
    matrix of affinities between the positions of either, A = softmax(Q(a) K(b)^T); a gets V(b) from
    where A points, b gets V(a) the other way round, each times a gain that starts at zero, so that
    training starts from the pre-trained streams (Q, K, V: 1 x 1 convolutions, Q and K to C / 8
    channels)."""

    def __init__(self, channels: int):
        super().__init__()
        narrow = channels // 8
        self.query = nn.Conv2d(channels, narrow, kernel_size=1)
        self.key = nn.Conv2d(channels, narrow, kernel_size=1)
        self.value_a = nn.Conv2d(channels, channels, kernel_size=1)
        self.value_b = nn.Conv2d(channels, channels, kernel_size=1)
        self.gains = nn.Parameter(torch.zeros(2))
        self.scale = narrow**-0.5

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        query, key = self.query(a).flatten(2), self.key(b).flatten(2)  # B x C / 8 x s s
        affinity = (query.transpose(1, 2) @ key).float() * self.scale  # positions of a x of b
        to_a, to_b = affinity.softmax(dim=2).to(query), affinity.softmax(dim=1).to(query)
        from_b = self.value_b(b).flatten(2) @ to_a.transpose(1, 2)
        from_a = self.value_a(a).flatten(2) @ to_b
        return a + self.gains[0] * from_b.view_as(a), b + self.gains[1] * from_a.view_as(b)


class F3Net(nn.Module):
    """B x 3 x S x S in [-1, 1] -> Output with features of 2 x 2048, no map. size: S, for which the
    filters of FAD are made; state: from `backbone.imagenet_weights`."""

    def __init__(self, size: int, state: dict[str, Tensor]):
        super().__init__()
        if size < 64:
            raise ValueError(f"faces.size is {size}; f3net needs crops of 64 pixels or more")
        self.size = size
        self.decomposition, self.statistics = Decomposition(size), Statistics()
        colours = state["conv1.weight"]
        # The bands add up to the image: with the same kernels on each of them the first layer
        # starts by answering as it was trained to. The statistics are no colours; each set of
        # three takes half of the kernels, so that the answers keep their size.
        self.fad = _stream(state, colours.repeat(1, 3, 1, 1), stride=2, padding=0)
        self.lfs = _stream(state, colours.repeat(1, 2, 1, 1) / 2, stride=1, padding=1)
        self.mix = nn.ModuleList([MixBlock(MID_CHANNELS), MixBlock(LATE_CHANNELS)])
        self.fc = nn.Linear(2 * FEATURES, 2)

    def forward(self, images: Tensor) -> Output:
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"f3net was made for crops of {self.size} x {self.size} pixels (faces.size), "
                f"found {images.shape[-2]} x {images.shape[-1]}"
            )
        a, b = self.decomposition(images), self.statistics(images)
        for part, mix in zip(("early", "late"), self.mix, strict=True):
            a, b = mix(self.fad[part](a), self.lfs[part](b))
        feature = torch.cat([self.fad["exit"](a), self.lfs["exit"](b)], dim=1)
        return Output(self.fc(feature), feature, None, None)


def _stream(state: dict[str, Tensor], first: Tensor, stride: int, padding: int) -> nn.ModuleDict:
    """An Xception in three: up to block 7, blocks 8 to 12, the rest with the pooling. first: the
    kernels of its first convolution."""
    out, channels, k, _ = first.shape
    head, tail = head_and_tail(state)
    head.conv1 = nn.Conv2d(channels, out, k, stride, padding, bias=False)
    with torch.no_grad():
        head.conv1.weight.copy_(first)
    return nn.ModuleDict({"early": head, "late": tail[:5], "exit": tail[5:]})


class F3NetSystem(ClassifierSystem):
    """F3-Net with ImageNet weights in both streams."""

    @classmethod
    def network(cls, params, weights, seed):
        return OneBranch(F3Net(params.faces.size, imagenet_weights(weights)))
