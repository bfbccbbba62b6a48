"""Checks of photos with a label map each; see `faults.PROBLEMS`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixnet_dense.data.faults import Findings
from mixnet_dense.data.pictures import content_key, header
from mixnet_dense.errors import InputError
from mixnet_dense.progress import on_all_cores
from mixnet_dense.seg.labels import read_labels

_KINDS = {
    # words of `read_labels`'s errors: what they say about the label map
    ": not there": "label map not there",
    ", its image is ": "label map of another size than its image",
    "must be one channel": "label map of more than one channel or 8 bits",
    "has the label ids": "label map with a value that is no class",
    " a readable image": "label map that cannot be read",
    "has more pixels": "label map that cannot be read",
}


def check_pairs(
    pairs: Sequence[tuple[Path, Path]], allowed: np.ndarray, names: Mapping[int, str]
) -> Findings:
    """Decode all images and label maps, on all cores, and look for copies.

    Args:
        pairs: image and label map.
        allowed: which values a label map may have, (256,) bool.
        names: the class of a value.
    """
    findings, used = Findings(), np.zeros(256, bool)

    def look(pair: tuple[Path, Path]) -> tuple:
        image = header(pair[0], whole=True) if pair[0].is_file() else "image not there"
        if isinstance(image, str):
            return image, str(pair[0]), None
        findings.photo(str(pair[0]), content_key(pair[0]))
        try:
            labels = read_labels(*pair, allowed, whole=False)
        except InputError as error:
            return next(k for words, k in _KINDS.items() if words in str(error)), str(error), None
        return "", str(pair[1]), np.bincount(labels.ravel(), minlength=256) > 0

    for problem, example, values in on_all_cores(look, pairs, "label maps checked"):
        if problem:
            findings.add(problem, example)
        elif not values[list(names)].any():
            findings.add("label map without any class", example)
        else:
            used |= values
    for value, name in names.items():
        if not used[value]:
            findings.add("class without an annotation", name)
    return findings
