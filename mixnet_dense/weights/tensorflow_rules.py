"""TensorFlow's names of our networks' modules, and its layers as tensors of PyTorch.

The names are those of TensorFlow's slim (https://github.com/tensorflow/models), its Object
Detection API and DeepLab. `layers` turns the constants of a graph into a state dict whose keys
are a scope and a tensor, such as ``FeatureExtractor/MobilenetV2/Conv.bn.bias``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mixnet_dense.errors import InputError
from mixnet_dense.weights.rules import BACKGROUND_LAST, Names, Pair, Rule, biased, conv_norm
from mixnet_dense.weights.tensorflow_graph import Graph, Node

# Permutations of TensorFlow's kernels to PyTorch's. TensorFlow's dimensions are rows, columns,
# inputs, outputs; those of a depthwise kernel are rows, columns, channels, 1.
_KERNELS = {
    "/weights": (3, 2, 0, 1),
    "/depthwise_weights": (2, 3, 0, 1),
    "/Conv2D/merged_input": (3, 2, 0, 1),
}
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_FUSED_EPSILON = 1e-4  # FusedBatchNorm's, where the node has none
_CLASSIFIER = "/Conv2d_1c_1x1"  # a 1x1 convolution in slim, a linear layer here

# ----------------------------------------------------------------------- names


def _pairs(*scopes: str) -> tuple[Pair, ...]:
    return tuple((scope, f"{scope}.bn") for scope in scopes)


def _named(scope: str, **options) -> Names:
    """MobileNetV2's and V3's names in slim; their first block has no number."""

    def rename(name: str) -> str:
        return f"{scope}/" + name.replace("expanded_conv_0/", "expanded_conv/")

    return Names(
        stem=("Conv", "Conv.bn"),
        block="expanded_conv_{index}/",
        parts=_pairs("expand", "depthwise", "project"),
        plain=_pairs("depthwise", "project"),
        last=("Conv_1", "Conv_1.bn"),
        squeeze=("squeeze_excite/Conv", "squeeze_excite/Conv_1"),
        rename=rename,
        **options,
    )


def _ssdlite(extractor: str, blocks: int) -> Names:
    """The Object Detection API's SSDLite on a backbone with this number of blocks."""
    scope = f"FeatureExtractor/{extractor}"
    return _named(scope, after=tuple(_neck(scope, blocks + 2)) + tuple(_heads()))


def _neck(scope: str, last: int) -> Iterator[Rule]:
    """The extra layers; ``last`` is the number of the backbone's last convolution."""
    for layer, width in enumerate((512, 256, 256, 128)):
        first = f"{scope}/layer_{last}_1_Conv2d_{layer + 2}_1x1_{width // 2}"
        second = f"{scope}/layer_{last}_2_Conv2d_{layer + 2}_3x3_s2_{width}"
        children = ("0", "1.depthwise_conv", "1.pointwise_conv")
        for child, pair in zip(children, _pairs(first, f"{second}_depthwise", second), strict=True):
            yield from conv_norm(f"neck.extra_layers.{layer}.{child}", pair)


def _heads() -> Iterator[Rule]:
    """The predictors. In TensorFlow the background is the first class, and y is before x."""
    orders = {"cls": BACKGROUND_LAST, "reg": (1, 0, 3, 2)}
    for level in range(6):
        for kind, name in (("cls", "ClassPredictor"), ("reg", "BoxEncodingPredictor")):
            ours, theirs = f"bbox_head.{kind}_convs.{level}", f"BoxPredictor_{level}/{name}"
            order = orders[kind]
            yield from conv_norm(f"{ours}.0", *_pairs(f"{theirs}_depthwise"))
            outputs = (6 if level else 3) * len(order)
            yield biased(f"{ours}.1", theirs, outputs=outputs, order=order)


V1 = Names(
    stem=("Conv2d_0", "Conv2d_0.bn"),
    block="Conv2d_{number}_",
    parts=_pairs("expand", "depthwise", "pointwise"),
    plain=_pairs("depthwise", "pointwise"),
    last=None,
    after=(biased("classifier", f"MobilenetV1/Logits{_CLASSIFIER}"),),
    rename=lambda name: f"MobilenetV1/{name}",
)
SSDLITE_V2 = _ssdlite("MobilenetV2", 17)
SSDLITE_V3_LARGE = _ssdlite("MobilenetV3", 15)
SSDLITE_V3_SMALL = _ssdlite("MobilenetV3", 11)
DEEPLAB_V2 = replace(
    _named("MobilenetV2"),
    last=None,
    after=(
        *conv_norm("decode_head.image", *_pairs("image_pooling")),
        *conv_norm("decode_head.project", *_pairs("aspp0")),
        *conv_norm("decode_head.fuse", *_pairs("concat_projection")),
        biased("decode_head.conv_seg", "logits/semantic", outputs=21),
    ),
)

# ---------------------------------------------------------------------- layers


def layers(graph: Graph, eps: float) -> tuple[dict[str, Tensor], list[str]]:
    """The convolutions and batch norms of a graph.

    A graph has batch norm in one of three forms: complete; as a product and a sum; or as a sum
    alone, with the product folded into the kernel. The last two become a complete one with
    mean 0 and variance ``1 - eps``, so that only its weight and bias have an effect.

    Args:
        graph: as `read_graph` gives it.
        eps: of our batch norm. If theirs has another epsilon, the weight is scaled to make up.

    Returns:
        First a state dict: ``SCOPE.weight`` and ``SCOPE.bias`` of the convolutions, ``SCOPE.bn``
        with PyTorch's four tensors, and other float32 arrays of the same outermost scopes under
        their own names, which no rule knows, so that `convert` reports them. Then the names of
        all other constants: anchors, preprocessing, shapes.

    Raises:
        InputError: a layer's tensor is not float32 or not finite, or a batch norm has no
            epsilon or mismatched shapes.
    """
    left, state = dict(graph.constants), {}
    readers = _readers(graph.nodes)
    scopes = []
    for name, kernel in graph.constants.items():
        end = next((end for end in _KERNELS if name.endswith(end)), "")
        scope = name.removesuffix(end)
        if end and kernel.ndim == 4 and f"{scope}.weight" not in state:
            weight = _tensor(name, left.pop(name)).permute(_KERNELS[end]).contiguous()
            state[f"{scope}.weight"] = weight.flatten(1) if _CLASSIFIER in scope else weight
            scopes.append(scope)
    for scope in scopes:
        if f"{scope}/biases" in left:
            state[f"{scope}.bias"] = _tensor(f"{scope}/biases", left.pop(f"{scope}/biases"))
        norm = f"{scope}/BatchNorm/"
        if all(norm + name in left for name in _NORM):
            parts = [_tensor(norm + name, left.pop(norm + name)) for name in _NORM]
            epsilon = _epsilon(graph, readers, norm + _NORM[-1], left)
            state |= _batch_norm(f"{scope}.bn", parts, epsilon, eps)
        elif f"{norm}batchnorm/sub" in left:
            shift = _tensor(norm, left.pop(f"{norm}batchnorm/sub"))
            scale = left.pop(f"{norm}batchnorm/mul", None)
            scale = torch.ones_like(shift) if scale is None else _tensor(norm, scale)
            one = torch.ones_like(shift)
            state |= _batch_norm(f"{scope}.bn", [scale, shift, 0 * one, (1 - eps) * one], eps, eps)
    for name, value in state.items():
        if not value.isfinite().all():
            raise InputError(f"'{name}': has values that are not finite numbers")
    tops = {scope.partition("/")[0] for scope in scopes}
    strays = {name for name in left if left[name].ndim and name.partition("/")[0] in tops}
    strays = {name for name in strays if left[name].dtype == np.float32}
    state |= {name: torch.tensor(left[name]) for name in left if name in strays}
    return state, [name for name in left if name not in strays]


def _tensor(name: str, array: np.ndarray) -> Tensor:
    if array.dtype != np.float32:
        raise InputError(f"constant '{name}': is {array.dtype.name}, must be float32")
    return torch.tensor(array)


def _batch_norm(name: str, parts: list[Tensor], theirs: float, ours: float) -> dict[str, Tensor]:
    """PyTorch's tensors of a batch norm of gamma, beta, mean and variance."""
    gamma, beta, mean, variance = parts
    if any(part.shape != beta.shape for part in parts):
        raise InputError(f"{name}: its parts have the sizes {[list(part.shape) for part in parts]}")
    if abs(theirs - ours) > 1e-6 * ours:
        gamma = gamma * ((variance + ours) / (variance + theirs)).sqrt()
    tensors = dict(weight=gamma, bias=beta, running_mean=mean, running_var=variance)
    return {f"{name}.{key}": value for key, value in tensors.items()}


def _readers(nodes: Mapping[str, Node]) -> dict[str, list[Node]]:
    """The nodes that read each node's output, also through an Identity."""
    found = defaultdict(list)
    for node in nodes.values():
        for source in (_plain(name) for name in node.inputs):
            found[source].append(node)
            if source in nodes and nodes[source].op == "Identity":
                for name in nodes[source].inputs:
                    found[_plain(name)].append(node)
    return found


def _plain(name: str) -> str:
    """An input's node: names may end in the number of an output, ``:0``."""
    return name.partition(":")[0]


def _epsilon(graph: Graph, readers: Mapping[str, list[Node]], variance: str, left: dict) -> float:
    """The epsilon that is added to a moving variance; its constant is removed from ``left``."""
    for node in readers.get(variance, ()):
        if node.op.startswith("FusedBatchNorm"):
            return _FUSED_EPSILON if node.epsilon is None else node.epsilon
        if node.op.startswith("Add"):
            for name in map(_plain, node.inputs):
                if name in graph.constants and graph.constants[name].shape == ():
                    left.pop(name, None)
                    return float(graph.constants[name])
    raise InputError(f"constant '{variance}': no batch norm reads it, its epsilon is unknown")
