"""Record TensorFlow's DeepLab: ``python -m recorders.tensorflow_deeplab FILE COCO [--out FOLDER]``.

FILE is the .tflite, COCO a folder with ``val2017/`` and ``semantic_val2017/``. The file runs twice:
in 8 bits by TensorFlow Lite's own runtime, and dequantised, in float32, operator by operator as it
lists them. Nothing of this package takes part.
"""

import argparse
from pathlib import Path

import cv2
import golden
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

NAME = "tensorflow_deeplab_mobilenetv2_voc"
SIDE = 513
# COCO's ids of VOC's classes 1 to 20: airplane, bicycle, bird, boat, bottle, bus, car, cat, chair,
# cow, dining table, dog, horse, motorcycle, person, potted plant, sheep, couch, train, tv.
_IDS = (5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)
LABELS = np.zeros(256, np.uint8)
"""VOC's class by COCO's id: what is unlabelled, 0, is ignored, all other ids are background."""
LABELS[0] = 255
LABELS[list(_IDS)] = range(1, 21)


def padded(image: np.ndarray, fill: float) -> np.ndarray:
    """An RGB image (H, W, 3) at the upper left of (1, 513, 513, 3) float32."""
    found = np.full((1, SIDE, SIDE, 3), fill, np.float32)
    found[0, : image.shape[0], : image.shape[1]] = image
    return found


def resized(image: np.ndarray) -> np.ndarray:
    """The image with 513 pixels on its longer side."""
    scale = SIDE / max(image.shape[:2])
    height, width = (int(side * scale + 0.5) for side in image.shape[:2])
    return cv2.resize(image, (width, height))


class InFloat:
    """The file's operators over its dequantised constants, in PyTorch's functions."""

    def __init__(self, data: bytes):
        import tflite

        self._lite, self._model = tflite, tflite.Model.GetRootAs(data)
        self._graph = self._model.Subgraphs(0)
        codes = tflite.BuiltinOperator
        self._operators = {
            codes.CONV_2D: lambda *args: self._convolution("Conv2DOptions", *args),
            codes.DEPTHWISE_CONV_2D: lambda *args: self._convolution(
                "DepthwiseConv2DOptions", *args
            ),
            codes.ADD: lambda _, a, b: a + b,
            codes.AVERAGE_POOL_2D: lambda _, x: x.mean((2, 3), keepdim=True),
            codes.CONCATENATION: lambda _, *maps: torch.cat(maps, 1),
            codes.QUANTIZE: lambda _, x: x,
            codes.RESIZE_BILINEAR: lambda _, x, size: F.interpolate(
                x, size.int().tolist(), mode="bilinear", align_corners=True
            ),
        }

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (1, 21, 33, 33), and the same resized to (1, 21, 513, 513)."""
        graph, pixels = self._graph, torch.from_numpy(images).permute(0, 3, 1, 2)
        values = {graph.Inputs(0): (pixels - 128) / 128}
        maps = []
        for index in range(graph.OperatorsLength() - 1):  # without the last, ArgMax
            operator = graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            run = self._operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            for number in operator.InputsAsNumpy().tolist():
                values.setdefault(number, self._constant(number))
            found = run(operator, *(values[n] for n in operator.InputsAsNumpy().tolist()))
            values[operator.Outputs(0)] = found
            maps.append(found)
        return maps[-3], maps[-1]

    def _constant(self, number: int) -> torch.Tensor | None:
        tensor = self._graph.Tensors(number)
        data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):
            return None
        types = {self._lite.TensorType.UINT8: "u1", self._lite.TensorType.INT32: "<i4"}
        values = np.frombuffer(data, types[tensor.Type()]).astype(np.float64)
        steps = tensor.Quantization()
        if steps.ScaleLength():
            values = (values - steps.ZeroPoint(0)) * steps.Scale(0)
        return torch.from_numpy(values.astype(np.float32).reshape(tensor.ShapeAsNumpy()))

    def _convolution(self, kind: str, operator, x, kernel, bias) -> torch.Tensor:
        options = getattr(self._lite, kind)()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        stride, dilation = options.StrideH(), options.DilationHFactor()
        depthwise = kind.startswith("Depthwise")
        kernel = kernel.permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)).contiguous()
        padding = []  # SAME: half on each side, the odd pixel below and right
        for size in (x.shape[3], x.shape[2]):
            reach = (-(-size // stride) - 1) * stride + (kernel.shape[-1] - 1) * dilation + 1
            missing = max(reach - size, 0)
            padding += [missing // 2, missing - missing // 2]
        groups = len(kernel) if depthwise else 1
        x = F.conv2d(F.pad(x, padding), kernel, bias, stride, 0, dilation, groups)
        act = options.FusedActivationFunction()
        acts = self._lite.ActivationFunctionType
        return x.clamp(0, 6) if act == acts.RELU6 else x.relu() if act == acts.RELU else x


def quantised(file: str):
    """A function of an image (H, W, 3) to its classes (H, W), by the file's own runtime."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def classes(image: np.ndarray) -> np.ndarray:
        small = resized(image)
        interpreter.set_tensor(source["index"], padded(small, 128).astype(np.uint8))
        interpreter.invoke()
        found = interpreter.get_tensor(target["index"])[0, : small.shape[0], : small.shape[1]]
        found = found.astype(np.uint8)
        return cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)

    return classes


def in_float(network: InFloat):
    """The same by `InFloat`: its logits are resized to the image."""

    def classes(image: np.ndarray) -> np.ndarray:
        small = resized(image)
        maps = network(padded(small, 127.5))[1][..., : small.shape[0], : small.shape[1]]
        maps = F.interpolate(maps, image.shape[:2], mode="bilinear", align_corners=True)
        return maps[0].argmax(0).numpy()

    return classes


def confusion(annotated: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pixels (21, 21) by annotated and predicted class."""
    counted = annotated != 255
    pairs = annotated[counted].astype(int) * 21 + predicted[counted]
    return np.bincount(pairs, minlength=21 * 21).reshape(21, 21).astype(np.int32)


def scores(pixels: np.ndarray) -> tuple[float, float]:
    """Pixel accuracy, and the mean IoU of the annotated classes, of a confusion matrix."""
    hits, wanted = pixels.diagonal(), pixels.sum(1)
    ious = hits / np.maximum(wanted + pixels.sum(0) - hits, 1)
    return hits.sum() / pixels.sum(), ious[wanted > 0].mean()


def main(argv=None) -> None:
    from skimage.data import astronaut

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("coco", type=Path)
    parser.add_argument("--out", type=Path, default=golden.DATA)
    args = parser.parse_args(argv)
    network = InFloat(Path(args.file).read_bytes())
    runs = {"quantised": quantised(args.file), "float32": in_float(network)}
    maps = sorted((args.coco / "semantic_val2017").glob("*.png"))
    found = {name: [] for name in runs}
    for path in maps:
        labels = LABELS[np.asarray(Image.open(path))]
        photo = Image.open(args.coco / "val2017" / f"{path.stem}.jpg").convert("RGB")
        for name, run in runs.items():
            found[name].append(confusion(labels, run(np.asarray(photo))))
    for name, counts in found.items():
        print(name, "pixel accuracy {:.4f}, mIoU {:.4f}".format(*scores(sum(counts))))
    logits = network(padded(astronaut(), 127.5))[0].numpy()
    np.savez_compressed(
        args.out / f"{NAME}.npz",
        photos=[int(path.stem) for path in maps],
        astronaut_logits_every_2=logits[..., ::2, ::2],
        **found,
    )


if __name__ == "__main__":
    main()
