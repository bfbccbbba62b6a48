import pytest
import torch

from mixnet_dense.backbones.mixconv import MixConv2d, pad_same, partition_channels


def ones(module):
    """Every weight 1: an output counts the ones under its kernel."""
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)
    return module


def test_remainder_goes_to_first_group():
    assert partition_channels(11, 3) == (5, 3, 3)
    assert partition_channels(12, 3) == (4, 4, 4)


def test_exponential_partition_of_the_paper():
    assert partition_channels(32, 4, "exponential") == (16, 8, 4, 4)
    # 16 + 8 + 4 + 2 + 2 of 33: the one left over goes to the first
    assert partition_channels(33, 5, "exponential") == (17, 8, 4, 2, 2)
    assert partition_channels(7, 1, "exponential") == (7,)


def test_partition_that_cannot_be_filled_is_refused():
    with pytest.raises(ValueError, match="3 channels cannot fill 4 groups"):
        partition_channels(3, 4)
    with pytest.raises(ValueError, match="equal.*exponential"):
        partition_channels(8, 2, "half")


@pytest.mark.parametrize("kernels", [(), (4,), (3, 3), (3, -1), (0,)])
def test_bad_kernel_sizes_are_refused(kernels):
    with pytest.raises(ValueError, match="odd positive"):
        MixConv2d(8, kernels)


def test_each_group_has_its_own_kernel():
    out = ones(MixConv2d(4, (3, 5)))(torch.ones(1, 4, 5, 5))
    # centre of 5 x 5: all 9 and all 25 taps lie inside; corner: 2 x 2 and 3 x 3
    assert out[0, :, 2, 2].tolist() == [9, 9, 25, 25]
    assert out[0, :, 0, 0].tolist() == [4, 4, 9, 9]


def test_stride_two_symmetric_and_same_differ_on_even_sizes():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    symmetric = ones(MixConv2d(1, (3,), stride=2))(x)
    same = ones(MixConv2d(1, (3,), stride=2, padding="same"))(x)
    # symmetric pads 1 before: top left sums rows 0-1, columns 0-1: 0+1+4+5
    assert symmetric[0, 0].tolist() == [[10, 24], [51, 90]]
    # same pads 1 after: top left sums rows 0-2, columns 0-2: 3 * (1+5+9)
    assert same[0, 0].tolist() == [[45, 39], [66, 50]]


def test_same_padding_equals_symmetric_on_odd_sizes():
    x = torch.randn(2, 6, 7, 9)
    symmetric = MixConv2d(6, (3, 5, 7), stride=2)
    same = MixConv2d(6, (3, 5, 7), stride=2, padding="same")
    same.load_state_dict(symmetric.state_dict())
    torch.testing.assert_close(symmetric(x), same(x))


def test_pad_same_amounts():
    # H: ceil(5 / 2) = 3 outputs need (3 - 1) * 2 + 3 = 7, so 1 + 1; W: 4 needs 5, so 0 + 1
    assert pad_same(torch.zeros(1, 1, 5, 4), 3, 2).shape == (1, 1, 7, 5)
    # a kernel smaller than the stride: 2 outputs need 3 of 4, which is no padding below 0
    assert pad_same(torch.zeros(1, 1, 4, 5), 1, 2).shape == (1, 1, 4, 5)


def test_sizes_of_same_padding_stay_short_in_an_export_for_any_size():
    """Sizes that grow with each layer kept an export of SSDLite from ending in ten minutes."""
    net = torch.nn.Sequential(*(MixConv2d(1, stride=2, padding="same") for _ in range(3)))
    sizes = ({2: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(net, (torch.zeros(2, 1, 40, 8),), dynamic_shapes=sizes)
    (found,) = program.graph.output_node().args[0]
    assert len(str(found.meta["val"].shape[2])) < 40  # (rows - 1) // 8 + 1
    assert program.module()(torch.zeros(2, 1, 33, 8)).shape == (2, 1, 5, 1)


def test_dilated_replaces_large_kernels_only_at_stride_one():
    plain = MixConv2d(8, (3, 9), dilated=True)
    assert [conv.kernel_size for conv in plain] == [(3, 3), (3, 3)]
    assert [conv.dilation for conv in plain] == [(1, 1), (4, 4)]  # (9 - 1) / 2
    strided = MixConv2d(8, (3, 9), stride=2, dilated=True)
    assert [conv.kernel_size for conv in strided] == [(3, 3), (9, 9)]


def test_dilated_taps():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 0, 0] = x[0, 0, 1, 1] = 1
    out = ones(MixConv2d(1, (9,), dilated=True))(x)
    assert out[0, 0, 4, 4] == 1  # sees (0, 0), four away, and not (1, 1)


@pytest.mark.parametrize("stride", [1, 2])
def test_output_equals_one_convolution_per_group(stride):
    conv = MixConv2d(10, (3, 5, 7), stride=stride)
    x = torch.randn(2, 10, 11, 6)
    groups = x.split([4, 3, 3], 1)
    expected = torch.cat(
        [
            torch.nn.functional.conv2d(
                part, one.weight, stride=stride, padding=size // 2, groups=part.shape[1]
            )
            for part, one, size in zip(groups, conv, (3, 5, 7), strict=True)
        ],
        1,
    )
    torch.testing.assert_close(conv(x), expected)
    channels_last = conv(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last, expected)


def test_single_kernel_is_a_plain_depthwise_convolution():
    assert [name for name, _ in MixConv2d(8).named_parameters()] == ["0.weight"]
    assert MixConv2d(8)(torch.ones(1, 8, 1, 1)).shape == (1, 8, 1, 1)
