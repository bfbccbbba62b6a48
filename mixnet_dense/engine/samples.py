"""Images of a config's datasets."""

import copy
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense.engine.config import check_files
from mixnet_dense.errors import InputError
from mixnet_dense.registry import DATASETS


def image_files(config: Config, split: str, count: int) -> list[Path]:
    """Up to ``count`` image files of a config's dataset, evenly spread over it, each once.

    The dataset lists them, also inside wrappers. Label maps are not read.

    Args:
        config: as `engine.config.load_config` reads it.
        split: ``'train'``, ``'val'`` or ``'test'``.
        count: at least 1.

    Raises:
        InputError: the config has no such dataset, or its files are not there.
    """
    loader = config.get(f"{split}_dataloader")
    if not loader:
        raise InputError(f"config: has no {split}_dataloader to take images from")
    wanted = Config({f"{split}_dataloader": dict(dataset=_names_only(loader.dataset))})
    check_files(wanted, (split,))
    init_default_scope(config.get("default_scope", "mmdet"))
    dataset = DATASETS.build(wanted[f"{split}_dataloader"].dataset)
    while not hasattr(dataset, "get_data_info"):  # mmdet's MultiImageMixDataset
        dataset = dataset.dataset
    rows = map(dataset.get_data_info, range(len(dataset)))
    paths = list(dict.fromkeys(Path(row["img_path"]) for row in rows))
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _names_only(dataset):
    """A copy of a dataset's config, or of a list, that loads no images and no label maps."""
    if isinstance(dataset, (list, tuple)):
        return [_names_only(each) for each in dataset]
    dataset = copy.deepcopy(dataset)
    for name in ("dataset", "datasets"):
        if name in dataset:
            dataset[name] = _names_only(dataset[name])
    if "pipeline" in dataset:
        dataset["pipeline"] = []
    if isinstance(dataset.get("data_prefix"), Mapping):
        dataset["data_prefix"].pop("seg_map_path", None)
    return dataset
