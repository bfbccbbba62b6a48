"""Writing the images of the embedded sample, in several processes."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from mixnet_dense.data.sample_cityscapes import write_pair
from mixnet_dense.data.sample_coco import annotation_record, image_record
from mixnet_dense.data.sample_materials import Materials
from mixnet_dense.data.sample_scene import Scene, compose_scene, scene_kind
from mixnet_dense.data.sample_sources import SPLITS

COCO_FOLDERS = {split: f"{split}2017" for split in SPLITS}  # COCO's own names
_LEAST_PER_WRITER = 100  # starting a process takes as long as about fifty images


class Writers:
    """Composes and writes images, on all cores where there are many ``images``."""

    def __init__(
        self, seed: int, folder: Path, materials: dict[str, Materials], images: int
    ) -> None:
        self.folder = folder
        self._setting = (seed, folder, materials)
        count = min(os.cpu_count() or 1, images // _LEAST_PER_WRITER)
        spawn = multiprocessing.get_context("spawn")  # a fork of OpenCV's threads can hang
        self._pool = (
            ProcessPoolExecutor(count, spawn, _start_writer, self._setting) if count > 1 else None
        )

    def map(self, jobs: list[tuple[str, int]]) -> Iterator[tuple[dict, list[dict]]]:
        """Yield the COCO records of each image when its files are written, in order."""
        if self._pool is not None:
            return self._pool.map(_write_in_process, jobs, chunksize=8)
        return (_write_image(*self._setting, *job) for job in jobs)

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, *_error) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_setting: tuple = ()  # of a writer process


def _start_writer(*setting) -> None:
    global _setting
    _setting = setting
    cv2.setNumThreads(0)


def _write_in_process(job: tuple[str, int]) -> tuple[dict, list[dict]]:
    return _write_image(*_setting, *job)


def _write_image(
    seed: int, folder: Path, materials: dict[str, Materials], split: str, index: int
) -> tuple[dict, list[dict]]:
    """Write one image in both layouts; return its COCO record and those of its objects."""
    scene = compose_indexed(materials[split], seed, split, index)
    name = f"{index:06d}.jpg"
    write_jpeg(folder / COCO_FOLDERS[split] / name, scene.image)
    write_pair(folder, split, index, scene)
    records = [annotation_record(index + 1, scene_object) for scene_object in scene.objects]
    return image_record(index + 1, name, scene), records


def compose_indexed(materials: Materials, seed: int, split: str, index: int) -> Scene:
    """Compose image ``index`` of ``split``; the same numbers always give the same scene."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    return compose_scene(materials, scene_kind(index), rng)


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write ``image`` (h, w, 3) uint8 BGR; a full disk raises OSError."""
    # cv2.imwrite only returns False on failure and hides the reason.
    path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
