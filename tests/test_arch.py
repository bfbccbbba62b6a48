import pytest

from mixnet_dense.backbones import arch, tables


def outputs(network):
    """Output channels where they change."""
    channels = [block.out_channels for block in network.blocks]
    return [c for c, before in zip(channels, [None, *channels], strict=False) if c != before]


@pytest.mark.parametrize(
    ("value", "rounded"), [(1, 8), (11.9, 16), (12, 16), (19.2, 24), (92, 96), (20.8, 24)]
)
def test_round8(value, rounded):
    # 11.9: 8 would be under 90 %, hence 16; 19.2: 16 < 17.28, hence 24
    assert arch.round8(value) == rounded


def test_mixnet_l_is_mixnet_m_scaled():
    assert outputs(tables.MIXNET["m"]) == [24, 32, 40, 80, 120, 200]
    assert outputs(tables.MIXNET["l"]) == [32, 40, 56, 104, 160, 264]
    assert tables.MIXNET["l"].last == 1536  # never scaled


def test_scaled_expansion_follows_the_actual_input():
    half = arch.scale(tables.MIXNET["s"], 0.5)
    # stem 8; outputs round8 of 8, 12, 12, 20, ...: 8, 16, 16, 24
    assert half.stem == 8
    assert [block.out_channels for block in half.blocks[:4]] == [8, 16, 16, 24]
    assert [block.expansion for block in half.blocks[:4]] == [8, 48, 48, 96]


def test_squeeze_is_of_the_block_input():
    network = tables.MIXNET["s"]
    # block 3: 24 inputs times 0.5; block 7: 40 inputs times 0.25
    assert arch.squeeze_channels(network, network.blocks[3]) == 12
    assert arch.squeeze_channels(network, network.blocks[7]) == 10
    assert arch.squeeze_channels(network, network.blocks[0]) == 0


def test_kernels_of_all_blocks_or_of_one():
    network = tables.MIXNET["s"]
    everywhere = arch.with_kernels(network, (3, 5))
    assert {block.kernels for block in everywhere.blocks} == {(3, 5)}
    one = arch.with_kernels(network, {2: (9,)})
    assert [block.kernels for block in one.blocks[1:4]] == [(3,), (9,), (3, 5, 7)]
    with pytest.raises(ValueError, match="block 99 is not one of 0 to 15"):
        arch.with_kernels(network, {99: (3,)})


def test_halved_tail_keeps_c4():
    network = arch.halve_tail(tables.MIXNET["s"])
    first = arch.last_at_stride(network, 16) + 1
    assert network.blocks[first].expansion == 720  # C4
    assert [block.out_channels for block in network.blocks[first:]] == [100, 100, 100]
    assert network.blocks[first + 1].expansion == 600  # 6 x 100
    assert network.last == 768


@pytest.mark.parametrize("width", [0, -1.0])
def test_width_must_be_positive(width):
    with pytest.raises(ValueError, match="must be a positive number"):
        arch.scale(tables.MIXNET["s"], width)
