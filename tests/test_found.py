"""A table as a file: read back equal, in any config, and each fault one line."""

import json

import pytest
import torch
from running import TINY_SEGMENTER

from mixnet_dense.backbones import MixNet, networks
from mixnet_dense.backbones.found import read_network, write_network
from mixnet_dense.benchmark.subjects import build
from mixnet_dense.complexity import measure
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse

TABLES = [(kind, arch) for kind in networks.FAMILIES for arch in kind.tables]


@pytest.mark.parametrize(("kind", "arch"), TABLES)
def test_a_written_table_is_read_back_as_the_same_network(kind, arch, tmp_path):
    file = tmp_path / "found.json"
    options = dict(reduced_tail="detection", width=0.75, act="Mish")
    with torch.device("meta"):
        built = kind(arch, **options)
        write_network(file, built.network, [dict(step=1, what="block 3: expansion 96")])
        again = [kind(x, **options) for x in (str(file), built.network)]  # they have them already
    shapes = [
        {key: value.shape for key, value in model.state_dict().items()} for model in (built, *again)
    ]
    assert shapes[0] == shapes[1] == shapes[2] and built.taps == again[0].taps == again[1].taps
    assert len(file.read_text().splitlines()) == len(built.network.blocks) + 17  # a line each


def test_a_found_network_is_counted_fused_and_computes_the_same(tmp_path):
    file = str(tmp_path / "found.json")
    model = MixNet("s", width=0.35).eval()
    write_network(file, model.network)
    again = MixNet(file).eval()
    again.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert measure(again, (64, 64)) == measure(model, (64, 64))
    for own, fused in zip(model(x), fuse(again)(x), strict=True):
        torch.testing.assert_close(own, fused, rtol=1e-4, atol=1e-5)


def test_a_config_takes_a_file_and_head_and_neck_follow(tmp_path):
    file = tmp_path / "found.json"
    network = networks.MobileNetV3("small", width=0.35, reduced_tail="segmentation").network
    write_network(file, network)
    text = TINY_SEGMENTER.replace("in_channels=(32, 104), ", "")
    (tmp_path / "plain.py").write_text(text)
    given = text.replace("width=0.35", f"width=0.35, arch='{file}'")
    (tmp_path / "given.py").write_text(given)
    plain, given = (build(str(tmp_path / name)).state_dict() for name in ("plain.py", "given.py"))
    assert {k: v.shape for k, v in plain.items()} == {k: v.shape for k, v in given.items()}


def without(name):
    return lambda content: content.pop(name)


def block(index, **values):
    return lambda content: content["blocks"][index].update(values)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("stem"), "found.json: has no 'stem', which must be a whole number from 1 to 8192"),
        (without("blocks"), "found.json: blocks: must be a list of 1 to 200 rows"),
        (lambda c: c["blocks"].append(3), "block 16: must be an object"),
        (lambda c: c.update(extra=1), "unknown 'extra'"),
        (lambda c: c.update(name=3), "name is 3, must be a text"),
        (lambda c: c.update(gate="No"), "gate is \"No\", must be an activation"),
        (block(2, out_channels=2.5), "block 2: out_channels is 2.5, must be a whole number"),
        (block(2, out_channels=10**9), "block 2: out_channels is 1000000000, must be a whole"),
        (block(1, in_channels=17), "block 1: in_channels is 17, must be 16, what is before"),
        (block(1, expansion=97), "block 1: expansion is 97, must be a multiple of project_groups"),
        (block(3, kernels=[4]), "block 3: kernels is [4], must be different odd positive sizes"),
        (block(3, kernels=[101]), "block 3: kernels [101]: the largest is 99"),
        (block(3, squeeze=2), "block 3: squeeze is 2, must be a number from 0 to 1"),
        (block(3, stride=3), "block 3: stride is 3, must be one of 1, 2"),
        (block(3, act=["ReLU"]), "block 3: act is [\"ReLU\"], must be an activation"),
        (block(3, ratio=6), "block 3: unknown 'ratio': must be one of in_channels, expansion"),
        (block(13, stride=1), "their strides must reach 4, 8, 16 and 32"),
        (lambda c: c.update(taps=dict(c4=1)), "taps: \"c4\" is 1, the table gives c2 24"),
        (lambda c: c.update(taps=[1]), "found.json: taps: [1]"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line_with_file_and_row(spoil, says, tmp_path):
    file = tmp_path / "found.json"
    write_network(file, networks.MixNet.tables["s"])
    content = json.loads(file.read_text())
    spoil(content)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_network(file)
    assert says in str(error.value) and "\n" not in str(error.value)
