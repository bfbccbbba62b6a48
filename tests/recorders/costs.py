"""Record parameters and multiply-adds: ``python -m recorders.costs``.

They are counted by formulas over the rows of the papers' tables: no module is built, and
no code is shared with the counter that they test. ``profiled`` adds half of the other
operations that TensorFlow's profiler counts. Those are, for an element: 3 for a hard-swish,
2 for a gate, and 1 each for a bias, a residual sum, the product of a
squeeze-and-excitation, and a pooling before a convolution.
"""

import csv
from dataclasses import dataclass

from recorders.recording import output_folder

from mixnet_dense.backbones import arch, tables

OPERATIONS = {"HSwish": 3, "HSigmoid": 2, "Sigmoid": 2}  # of an element; others are free
CLASSIFIERS = {  # network at widths
    "mobilenetv3_large": (tables.MOBILENET_V3["large"], (1.0, 0.75)),
    "mobilenetv3_small": (tables.MOBILENET_V3["small"], (1.0,)),
    "mobilenetv1": (tables.MOBILENET_V1["v1"], (1.0, 0.5)),
    "mobilenetv2": (tables.MOBILENET_V2["classification"], (1.0, 0.35)),
    "mnasnet_a1": (tables.MNASNET["classification"], (1.0,)),
    "mixnet_s": (tables.MIXNET["s"], (1.0,)),
    "mixnet_m": (tables.MIXNET["m"], (1.0,)),
}
V1, V2 = tables.MOBILENET_V1["v1"], tables.MOBILENET_V2["detection"]
LARGE = tables.MOBILENET_V3["large"]
DETECTORS = {  # network, width and slots
    "v1": (V1, 1.0, 81),
    "v2": (V2, 1.0, 81),
    "v2@.35": (V2, 0.35, 91),
    "mnas": (tables.MNASNET["detection"], 1.0, 91),
    "v3large": (LARGE, 1.0, 91),
    "v3large+": (arch.halve_tail(LARGE), 1.0, 91),
    "v1 mix35": (arch.with_kernels(V1, (3, 5)), 1.0, 81),
    "v2 5x5": (arch.with_kernels(V2, (5,)), 1.0, 81),
}


@dataclass
class Count:
    """Running totals over the layers of a network."""

    weights: int = 0
    norms: int = 0
    macs: int = 0
    operations: int = 0

    def conv(self, weights: int, channels: int, side: int, act: str | None) -> None:
        """A convolution onto side x side pixels, its batch norm and activation."""
        self.weights += weights
        self.norms += 2 * channels
        self.macs += weights * side**2
        self.operations += OPERATIONS.get(act, 0) * channels * side**2

    def biased(self, inputs: int, outputs: int, side: int = 1, act: str | None = None) -> None:
        """A 1x1 convolution or linear layer with a bias and no norm."""
        self.weights += (inputs + 1) * outputs
        self.macs += inputs * outputs * side**2
        self.operations += (1 + OPERATIONS.get(act, 0)) * outputs * side**2

    def row(self) -> tuple[int, int, int, int]:
        """params, params_without_norm, macs, profiled"""
        profiled = self.macs + self.operations // 2
        return self.weights + self.norms, self.weights, self.macs, profiled


def count_block(count: Count, network: arch.Network, block: arch.Block, side: int) -> int:
    """Add a block that reads side x side pixels; returns the side of its output."""
    width, outputs = block.expansion, block.out_channels
    if block.expands:
        weights = block.in_channels * width // block.expand_groups
        count.conv(weights, width, side, block.act)
    side = -(-side // block.stride)
    parts = arch.partition_channels(width, len(block.kernels))
    weights = sum(part * size**2 for part, size in zip(parts, block.kernels, strict=True))
    count.conv(weights, width, side, block.act)
    squeezed = arch.squeeze_channels(network, block)
    if squeezed:
        count.operations += 2 * width * side**2  # pooling and product
        count.biased(width, squeezed, act=network.squeeze_act or block.act)
        count.biased(squeezed, width, act=network.gate)
    count.conv(width * outputs // block.project_groups, outputs, side, block.project_act)
    count.operations += outputs * side**2 if block.residual else 0
    return side


def count_backbone(network: arch.Network, side: int) -> Count:
    """All of a scaled network up to its last 1x1 convolution, at side x side pixels."""
    count, side = Count(), side // 2
    count.conv(27 * network.stem, network.stem, side, network.stem_act)
    for block in network.blocks:
        side = count_block(count, network, block, side)
    if network.last:
        inputs = network.blocks[-1].out_channels
        count.conv(inputs * network.last, network.last, side, network.last_act)
    return count


def classifier(network: arch.Network, width: float) -> Count:
    """1000 classes at 224 x 224."""
    network = arch.scale(network, width)
    count = count_backbone(network, 224)
    channels = network.last or network.blocks[-1].out_channels
    if network.hidden:
        count.operations += channels * 7**2  # pooling
        count.biased(channels, network.hidden, act=network.hidden_act)
        channels = network.hidden
    count.biased(channels, 1000)
    return count


def detector(network: arch.Network, width: float, slots: int) -> Count:
    """SSDLite with ``slots`` classes, background included, at 320 x 320."""
    network = arch.scale(network, width)
    count = count_backbone(network, 320)
    block = network.blocks[arch.last_at_stride(network, 16) + 1]
    channels = [block.expansion if block.expands else block.in_channels]
    channels.append(network.last or network.blocks[-1].out_channels)
    sides = [20, 10, 5, 3, 2, 1]
    for extra, before, side in zip((512, 256, 256, 128), sides[1:-1], sides[2:], strict=True):
        outputs = max(16, int(extra * width))
        half = outputs // 2
        count.conv(channels[-1] * half, half, before, "ReLU6")
        count.conv(9 * half, half, side, "ReLU6")
        count.conv(half * outputs, outputs, side, "ReLU6")
        channels.append(outputs)
    for inputs, side, anchors in zip(channels, sides, (3, 6, 6, 6, 6, 6), strict=True):
        for outputs in (anchors * slots, anchors * 4):
            count.conv(9 * inputs, inputs, side, "ReLU6")
            count.biased(inputs, outputs, side)
    return count


def main(argv=None) -> None:
    path = output_folder(__doc__, argv) / "costs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["network", "params", "params_without_norm", "macs", "profiled"])
        for name, (network, widths) in CLASSIFIERS.items():
            rows.writerows([f"{name} {w}", *classifier(network, w).row()] for w in widths)
        for name, (network, width, slots) in DETECTORS.items():
            title = f"SSDLite {name}, {slots} class slots, 320"
            rows.writerow([title, *detector(network, width, slots).row()])


if __name__ == "__main__":
    main()
