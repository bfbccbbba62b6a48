"""The latency of a network: measured as a whole, and summed from a table of its pieces.

Pieces that a table lacks are measured here and added; those of another device, such as a phone, are
brought as a file, see `table`.

A runtime copies each input and output into its own memory layout, and a part measured alone has
these copies, which the network has not. So two neighbours are measured together, each part also
alone, and the network is the pairs less what is in two of them: (a, b) + (b, c) - b.
"""

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mixnet_dense.adapt import names
from mixnet_dense.adapt.table import DIGITS, Key
from mixnet_dense.backbones.algorithms import set_channels_last
from mixnet_dense.benchmark.presentation import machine
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse
from mixnet_dense.export.description import pipeline_resize
from mixnet_dense.export.formats import FORMATS, need
from mixnet_dense.export.writers import convert_tflite
from mixnet_dense.progress import Progress

_WARM_UP = 3
_ANCHORS = 3
_OTHER_DATA = torch.zeros(2**20)  # 4 MiB, more than a core's own cache has
# Windows counts a processor's time in steps of 16 ms, too coarse for a piece.
_processor_time = time.process_time if hasattr(time, "clock_gettime") else time.perf_counter


def _write_onnx(piece: nn.Module, sample: Tensor, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # The older exporter: 0.05 s a piece, where dynamo takes 2 s, for equally fast files.
        torch.onnx.export(piece, (sample,), path, dynamo=False, input_names=["images"])


_FILES = {
    "onnx": (".onnx", _write_onnx),
    "openvino": (".onnx", _write_onnx),
    "tflite": (".tflite", convert_tflite),
}
"""The file that a piece is written to for a runtime: its suffix, and what writes it."""
RUNTIMES = ("eager", *_FILES)


class Where(NamedTuple):
    """What a latency depends on besides the network."""

    runtime: str
    threads: int
    device: str

    def key(self, piece: str, size: str) -> Key:
        return piece, size, str(self.threads), self.runtime, self.device


def here(runtime: str, threads: int, device: str | None = None) -> Where:
    """This machine's `Where`, or another device's, whose rows must be in the table.

    Raises:
        InputError: an unknown runtime, or its packages are not installed.
    """
    where = Where(runtime, threads, device or _own(threads))
    if is_here(where):
        if runtime not in RUNTIMES:
            raise InputError(f"--runtime {runtime}: must be one of {', '.join(RUNTIMES)}")
        if runtime != "eager":
            kind = FORMATS[runtime]
            need(f"--runtime {runtime}", *kind.packages, kind.runtime)
    return where


def is_here(where: Where) -> bool:
    """Whether it is this machine, so that what a table has not can be measured."""
    return where.device == _own(where.threads)


def _own(threads: int) -> str:
    return machine("cpu", threads)["cpu"]


def image_size(config: Config, given: Sequence[int] | None = None) -> tuple[int, int]:
    """Height and width of the images: as given, else as the test pipeline resizes them.

    Raises:
        InputError: none is given, and the pipeline has no one size.
    """
    size = given or pipeline_resize(config).get("resized")
    if not size:
        raise InputError("--size H W: must be given, the test pipeline resizes to no one size")
    return tuple(size)


class Piece(nn.Module):
    """A part of a fused model as a function of one tensor, its maps flattened and joined.

    Args:
        call: the part, from one map or a tuple of them.
        shapes: of the maps, (1, C, H, W) each.
    """

    def __init__(self, module: nn.Module, call: Callable, shapes: Sequence[torch.Size]):
        super().__init__()
        self.module, self.call, self.shapes = module, call, [tuple(s) for s in shapes]
        self.sample = torch.rand(self.shapes[0])
        if len(self.shapes) > 1:
            self.sample = torch.rand(1, sum(map(math.prod, self.shapes)))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        if len(self.shapes) == 1:
            return self.call(images)
        parts = images.split([math.prod(shape) for shape in self.shapes], 1)
        return self.call(tuple(p.view(s) for p, s in zip(parts, self.shapes, strict=True)))


def _flat(found) -> tuple[Tensor, ...]:
    """All tensors of nested tuples and lists."""
    if isinstance(found, Tensor):
        return (found,)
    return tuple(tensor for part in found for tensor in _flat(part))


def whole(model: nn.Module, size: tuple[int, int]) -> Piece:
    """A detector or segmenter from images to its head's maps."""
    fused = fuse(model)
    return Piece(fused, lambda x: _flat(fused(x, mode="tensor")), [(1, 3, *size)])


def pieces(model: nn.Module, size: tuple[int, int]) -> dict[tuple[str, str], tuple[Piece, int]]:
    """What is measured of a model, by name and input size, and how often it counts.

    The parts are stem, blocks, last convolution, and neck and head as one. Two neighbours count
    once for each time they are in the network; a part between two others counts less than zero.
    """
    fused = fuse(model)
    body, found = fused.backbone, {}
    parts = [(names.stem(body), body.stem)]
    parts += [(names.block(body, index), block) for index, block in enumerate(body.blocks)]
    parts += [(names.last(body), body.last)] if hasattr(body, "last") else []
    inputs, outputs = {}, {}

    def note(module, args, output):
        inputs[module], outputs[module] = args[0].shape, _flat(output)[-1]

    hooks = [part.register_forward_hook(note) for _, part in parts]
    with torch.inference_mode():
        taps = body(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()

    def count(name: str, piece: Piece, times: int) -> None:
        key = name, names.size(piece.shapes)
        known, before = found.get(key, (piece, 0))
        found[key] = known, before + times

    for name, part in parts[1:]:
        count(name, _chain([part], inputs[part]), -1)
    for (first, a), (second, b) in zip(parts, parts[1:], strict=False):
        count(f"{first} + {second}", _chain([a, b], inputs[a]), 1)
    name, part = parts[-1]
    place = [tap is outputs[part] for tap in taps].index(True)
    shapes = [inputs[part] if tap is outputs[part] else tap.shape for tap in taps]

    def end(maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        maps = list(_flat(maps))
        maps[place] = _flat(part(maps[place]))[-1]
        return _flat(_rest(fused, tuple(maps)))

    count(f"{name} + {names.rest(fused)}", Piece(fused, end, shapes), 1)
    return found


def _chain(parts: Sequence[nn.Module], shape: torch.Size) -> Piece:
    """Parts one after the other, the last map of each into the next."""

    def call(images: Tensor) -> Tensor:
        return reduce(lambda x, part: _flat(part(x))[-1], parts, images)

    return Piece(nn.ModuleList(parts), call, [shape])


def _rest(model: nn.Module, taps: tuple[Tensor, ...]):
    if hasattr(model, "bbox_head"):
        return model.bbox_head(model.neck(taps))
    return model.decode_head(taps)


@lru_cache(maxsize=4)  # the first network of a search is timed again and again
def runner(piece: Piece, where: Where) -> Callable[[], object]:
    """A piece as a function that computes it once in the runtime."""
    piece.eval()
    sample = piece.sample
    if where.runtime == "eager":
        if sample.dim() == 4:  # as the stem makes them
            sample = sample.contiguous(memory_format=torch.channels_last)
        return torch.inference_mode()(lambda: piece(sample))
    set_channels_last(piece, False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        suffix, write = _FILES[where.runtime]
        path = str(Path(folder, f"piece{suffix}"))
        write(piece, sample, path)
        call, _ = FORMATS[where.runtime].open(path, where.threads)
    values = sample.numpy()
    return lambda: call(values)


def time_pieces(wanted: dict[Key, Piece], where: Where, repeats: int) -> dict[Key, float]:
    """The fastest of several rounds, in milliseconds.

    In a round each piece is called once, after other data has filled the processor's own cache: so
    the time does not depend on how many pieces are measured together. The fastest, because other
    load can only add, and adds most to the many short calls of pieces. On one thread it is the
    processor's time for this process, in which other programs take no turns.
    """
    torch.set_num_threads(where.threads)
    clock = _processor_time if where.threads == 1 else time.perf_counter
    preparing, functions = Progress(len(wanted), "pieces prepared"), {}
    for key, piece in wanted.items():
        functions[key] = runner(piece, where)
        preparing.step()
    rounds, fastest = _WARM_UP + repeats, dict.fromkeys(wanted, math.inf)
    measuring = Progress(rounds, "rounds measured")
    for _ in range(rounds):
        for key, function in functions.items():
            _OTHER_DATA.add_(1)
            start = clock()
            function()
            fastest[key] = min(fastest[key], 1000 * (clock() - start))
        measuring.step()
    return {key: _rounded(ms) for key, ms in fastest.items()}


def _rounded(ms: float) -> float:
    return float(f"{ms:{DIGITS}}")  # as a table has them


def measured(model: nn.Module, size: tuple[int, int], where: Where, repeats: int) -> float:
    """The time of the whole network, in milliseconds; see `time_pieces`."""
    key = where.key("whole", names.size([size]))
    return time_pieces({key: whole(model, size)}, where, repeats)[key]


def predicted(
    model: nn.Module, size: tuple[int, int], where: Where, table: dict[Key, float], repeats: int
) -> tuple[float, dict[Key, float]]:
    """The sum over the pieces, and the rows that `missing` measured for it."""
    parts = {where.key(*name): part for name, part in pieces(model, size).items()}
    new = missing({key: piece for key, (piece, _) in parts.items()}, where, table, repeats)
    known = table | new
    return sum(times * known[key] for key, (_, times) in parts.items()), new


def missing(
    parts: dict[Key, Piece], where: Where, table: dict[Key, float], repeats: int
) -> dict[Key, float]:
    """Measure what a table has not of some pieces, the new rows by their keys.

    A processor's speed changes with its heat and with other load. So the slowest pieces that the
    table has are measured again beside the new ones, which are scaled as these have to be.

    Raises:
        InputError: a row is missing, and its device is not this machine.
    """
    wanted = {key: piece for key, piece in parts.items() if key not in table}
    if not wanted:
        return {}
    if not is_here(where):
        others = sorted({"rows of {} threads, {}, {}".format(*key[2:]) for key in table})
        raise InputError(
            f"--table: has no row {','.join(next(iter(wanted)))}, one of {len(wanted)} that "
            f"'{where.device}' must bring; the table has {' and '.join(others) or 'no rows'}"
        )
    anchors = sorted(parts.keys() & table.keys(), key=table.get)[-_ANCHORS:]
    timed = time_pieces(wanted | {key: parts[key] for key in anchors}, where, repeats)
    scale = median(table[key] / timed[key] for key in anchors) if anchors else 1
    return {key: _rounded(scale * timed[key]) for key in wanted}
