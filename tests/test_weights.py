import golden
import pytest
import torch

from mixnet_dense.backbones import MixNet, build_classifier
from mixnet_dense.cli import InputError
from mixnet_dense.weights import convert

TIMM = {
    "mixnet_s": dict(arch="s"),
    "tf_mixnet_m": dict(arch="m", padding="same", norm_cfg=dict(type="BN", eps=1e-3)),
}


def outputs(state_dict, name):
    """Ours in float32, what float32 rounding does to it, and the recording."""
    backbone = MixNet(**TIMM[name], channels_last=False).eval()
    backbone.load_state_dict(convert(state_dict, "timm", name))
    recorded = golden.record(f"timm_{name}")
    x = golden.image(recorded["input"])
    with torch.no_grad():
        found = backbone(x)
        exact = backbone.double()(x.double())
    for index, key in enumerate(("c4_expansion_sample", "features")):
        sample = slice(None, None, 1 if index else 8)
        a, b = found[index][:, sample], exact[index][:, sample]
        yield a, golden.relative_error(a, b), recorded["outputs"][key]


@pytest.mark.parametrize("name", TIMM)
def test_timm_forward_parity(name):
    for found, rounding, expected in outputs(golden.state_dict(f"timm_{name}"), name):
        # These weights let rounding grow through the network: timm itself, on another
        # convolution library, is up to 5e-4 from its own recording.
        assert golden.relative_error(found, expected) < max(1e-4, 2 * rounding)


@pytest.mark.parametrize(
    "key", ["conv_stem.weight", "blocks.4.1.conv_dw.3.weight", "blocks.5.2.se.conv_reduce.bias"]
)
def test_a_changed_weight_breaks_parity(key):
    state = golden.state_dict("timm_mixnet_s")
    state[key] = state[key] + 0.05
    *_, (found, rounding, expected) = outputs(state, "mixnet_s")
    assert golden.relative_error(found, expected) > 10 * max(1e-4, 2 * rounding)


def test_every_key_is_used_once():
    state = golden.state_dict("timm_mixnet_s")
    converted = convert(state, "timm", "mixnet_s", classifier=True)
    build_classifier("mixnet_s").load_state_dict(converted)
    assert sum(v.numel() for v in converted.values()) == sum(v.numel() for v in state.values())


def test_keys_missing_and_left_over_are_named():
    state = golden.state_dict("timm_mixnet_s")
    with pytest.raises(InputError, match="1 keys not of this model, first 'head.weight'"):
        convert({**state, "head.weight": torch.zeros(1)}, "timm", "mixnet_s")
    del state["blocks.1.0.conv_pw.1.weight"]
    with pytest.raises(InputError, match="'blocks.1.0.conv_pw.1.weight' is missing"):
        convert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="must be one of mixnet_s"):
        convert(state, "timm", "resnet18")
    with pytest.raises(InputError, match="source 'keras': must be one of timm"):
        convert(state, "keras", "mixnet_s")
