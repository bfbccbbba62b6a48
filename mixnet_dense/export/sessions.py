"""Running exported files."""

from collections.abc import Mapping

import numpy as np

from mixnet_dense.errors import InputError
from mixnet_dense.export.description import Description, from_json
from mixnet_dense.export.formats import FORMATS, format_of, need


class Session:
    """An exported file ready to run.

    Args:
        path: of a format in `formats.FORMATS`.
        threads: on the CPU; None leaves it to the runtime.

    Raises:
        InputError: the file is missing or has another suffix, its runtime is not installed or
            cannot read it, or `tools/export.py` did not write it.
    """

    about: Description

    def __init__(self, path: str, threads: int | None = None):
        name = format_of(path)
        if name is None:
            allowed = ", ".join(kind.suffix for kind in FORMATS.values())
            raise InputError(f"'{path}': must end in one of {allowed}")
        for file in FORMATS[name].files(path):
            if not file.is_file():
                raise InputError(f"'{file}': no such file")
        need(f"'{path}'", FORMATS[name].runtime)
        self._call, text = FORMATS[name].open(path, threads)
        self.about, self.path = from_json(text, path), path

    def __call__(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Outputs by name for images (N, 3, H, W) float32; see `graph.Graph`.

        A file for a fixed batch gets the images in batches of that size; the last batch is
        padded with zeros.

        Raises:
            InputError: images of another size than the file is for.
        """
        wanted, found = (self.about.height, self.about.width), images.shape[-2:]
        if any(w not in (None, f) for w, f in zip(wanted, found, strict=True)):
            raise InputError(
                f"'{self.path}': is for images of {' x '.join(map(str, wanted))}, "
                f"these are {' x '.join(map(str, found))}"
            )
        images = np.ascontiguousarray(images, np.float32)
        size = self.about.batch or len(images)
        parts = [self._batch(images, start, size) for start in range(0, len(images), size)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _batch(self, images: np.ndarray, start: int, size: int) -> dict[str, np.ndarray]:
        """Outputs for up to ``size`` images from ``start`` on."""
        part = images[start : start + size]
        missing = np.zeros((size - len(part), *part.shape[1:]), np.float32)
        values = self._call(np.concatenate([part, missing]) if len(missing) else part)
        found = dict(zip(self.about.outputs, values, strict=True))
        if "image" not in found:
            return {name: value[: len(part)] for name, value in found.items()}
        own = found["image"] < len(part)
        found = {name: value[own] for name, value in found.items()}
        return {**found, "image": found["image"] + start}
