"""What is timed in ``layers`` mode: every algorithm of every layer with channel groups."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from mixnet_dense.benchmark.subjects import REFERENCE, build


def runners(name: str, images: Tensor, train: bool) -> Iterator[tuple[str, str, Callable]]:
    """Each layer with groups of a network, once for each algorithm.

    The reference is ``split`` in the NCHW layout; the others are in channels_last.

    Args:
        name: see `subjects.build`.
        images: (N, 3, H, W) normalised.
        train: forward and backward in place of forward without gradients.

    Yields:
        The layer in words, the algorithm, and a function that runs it.
    """
    for layer, shape in _layers(build(name), images):
        x = torch.randn(shape, device=images.device)
        last = x.contiguous(memory_format=torch.channels_last)
        label = f"{name} {_label(layer, shape)}"
        yield label, REFERENCE, _call(layer, "split", x, train)
        for algorithm in layer.algorithms:
            yield label, algorithm, _call(layer, algorithm, last, train)


def _layers(model: nn.Module, images: Tensor) -> list[tuple[nn.Module, torch.Size]]:
    """Layers with groups and the shapes of their maps; layers that are alike only once."""
    found = {}

    def see(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        found.setdefault(_label(layer, inputs[0].shape), (layer, inputs[0].shape))

    for module in model.modules():
        if hasattr(module, "algorithms") and _groups(module) > 1:
            module.register_forward_pre_hook(see)
    with torch.inference_mode():
        model.to(images.device).eval()(images)
    return list(found.values())


def _groups(layer: nn.Module) -> int:
    return layer.groups if isinstance(layer, nn.Conv2d) else len(layer)


def _label(layer: nn.Module, shape: torch.Size) -> str:
    channels, height, width = shape[1:]
    if isinstance(layer, nn.Conv2d):
        kind = f"1x1 to {layer.out_channels}, {layer.groups} groups"
    else:
        kind = "kernels " + " ".join(str(conv.kernel_size[0]) for conv in layer)
        kind += f", stride {layer[0].stride[0]}"
    return f"{channels} x {height} x {width}; {kind}"


def _call(layer: nn.Module, algorithm: str, x: Tensor, train: bool) -> Callable[[], object]:
    if not train:

        @torch.inference_mode()
        def forward():
            layer.algorithm = algorithm
            return layer(x)

        return forward
    x = x.clone().requires_grad_()  # keeps the layout

    def step():
        layer.algorithm = algorithm
        out = layer(x)
        return torch.autograd.grad(out, [x, *layer.parameters()], torch.ones_like(out))

    return step
