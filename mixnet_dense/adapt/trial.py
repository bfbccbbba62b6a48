"""A short training of a model, and its accuracy on a part of the training set that is held out.

What a trial gives follows from its config, seed, model and number alone, not from earlier trials.
Equal numbers train on equal images, so that models are compared by pairs.
"""

import contextlib
import copy
import io
import math

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.fileio import join_path
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixnet_dense.engine.config import datasets, slips_named
from mixnet_dense.engine.resume import Loader, seed_all
from mixnet_dense.engine.settings import kind_of
from mixnet_dense.engine.unreadable import SHARE, SturdyDataset
from mixnet_dense.errors import InputError

_RATE = 0.5  # of the config's learning rate, at its highest


class Trial:
    """Trains and evaluates as a config says, without mmengine's runner and its hooks.

    The learning rate rises to half of the config's in the first third of the steps, and falls to
    zero. Batch norm's statistics are updated fast enough to be the new model's at the end.

    Args:
        config: see `config.load_config`.
        steps: of a training.
        holdout: images of the training set that are evaluated and never trained on.

    Attributes:
        metric: the name of the main metric, after the first evaluation.

    Raises:
        InputError: no training set with a pipeline, no validation set with one; or too few images.
    """

    def __init__(self, config: Config, steps: int, holdout: int):
        self.config, self.steps, self.metric = config, steps, "accuracy"
        self.seed = (config.get("randomness") or {}).get("seed") or 0
        init_default_scope(config.get("default_scope", "mmdet"))
        MMLogger.get_current_instance().setLevel("WARNING")
        train, val = (_inner(config, split) for split in ("train", "val"))
        with slips_named("config"):
            self.train, self.val = _built(train), _built(dict(train, pipeline=val["pipeline"]))
            self.evaluator = _evaluator(config, train)
        self.evaluator.dataset_meta = self.val.metainfo
        order = np.random.default_rng(self.seed).permutation(len(self.train)).tolist()
        self.held, self.rest = sorted(order[:holdout]), sorted(order[holdout:])
        batch = config.train_dataloader.batch_size
        if len(self.rest) < batch:
            raise InputError(
                f"--holdout {holdout}: of {len(self.train)} images {len(self.rest)} are left to "
                f"train on, a batch has {batch}"
            )
        ids = [self.val.get_data_info(index).get("img_id") for index in self.held]
        for metric in self.evaluator.metrics:
            if coco := getattr(metric, "_coco_api", None):
                coco.get_img_ids = lambda *_args, **_options: ids

    def train_steps(self, model: nn.Module, number: int) -> None:
        """Train a model in place; ``number`` chooses the images and what is random."""
        seed_all((self.seed, number))
        with slips_named("config"):
            wrapper = build_optim_wrapper(model, copy.deepcopy(self.config.optim_wrapper))
        rates = [group["lr"] for group in wrapper.param_groups]
        for module in model.train().modules():
            if isinstance(module, _BatchNorm):
                module.momentum = max(module.momentum or 0, min(0.5, 4 / self.steps))
        warm_up = math.ceil(self.steps / 3)
        for index, batch in enumerate(self._batches(number)):
            share = min((index + 1) / warm_up, (self.steps - index) / (self.steps - warm_up + 1))
            for group, rate in zip(wrapper.param_groups, rates, strict=True):
                group["lr"] = _RATE * share * rate
            model.train_step(batch, wrapper)

    def accuracy(self, model: nn.Module) -> float:
        """The config's main metric on the images that are held out; 0 where it is undefined."""
        model.eval()
        loader = self._loader("val", self.val, self.held)
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            for batch in loader:
                self.evaluator.process(data_batch=batch, data_samples=model.val_step(batch))
            metrics = self.evaluator.evaluate(len(self.held))
        self.metric = main_metric(self.config, metrics)
        return max(0.0, float(np.nan_to_num(metrics[self.metric])))

    def _batches(self, number: int):
        """Batches of one number: images drawn anew when all have been shown."""
        random = np.random.default_rng((self.seed, number))
        size = self.steps * self.config.train_dataloader.batch_size
        passes = [random.permutation(self.rest) for _ in range(-(-size // len(self.rest)))]
        loader = self._loader("train", self.train, np.concatenate(passes)[:size].tolist())
        loader.begin(number * self.steps, 0)
        return loader

    def _loader(self, split: str, dataset, indices: list[int]) -> Loader:
        options = self.config[f"{split}_dataloader"].to_dict()
        options.update(dataset=dataset, sampler=indices, batch_sampler=None)
        options.update(persistent_workers=False, num_batch_per_epoch=None)
        share = (self.config.get("survival") or {}).get("max_unreadable", SHARE)
        built = Runner.build_dataloader(options)
        return Loader.of(built, SturdyDataset(dataset, share, split == "val"), self.seed)


def main_metric(config: Config, metrics: dict[str, float]) -> str:
    """The metric by which the config keeps its best checkpoint, else the first.

    Raises:
        InputError: the evaluator does not give it.
    """
    hook = (config.get("default_hooks") or {}).get("checkpoint") or {}
    wanted = hook.get("save_best") or "auto"
    if wanted == "auto":
        return next(iter(metrics))
    if wanted not in metrics:
        raise InputError(
            f"default_hooks.checkpoint.save_best={wanted}: must be one of {', '.join(metrics)}"
        )
    return wanted


def _inner(config: Config, split: str) -> ConfigDict:
    found = next(datasets(config, (split,)), None)
    if found is None or "pipeline" not in found:
        raise InputError(f"the config has no {split}_dataloader.dataset with a pipeline")
    return found


def _built(options: dict):
    dataset = DATASETS.build(dict(options))
    dataset.full_init()
    return dataset


def _evaluator(config: Config, train: ConfigDict) -> Evaluator:
    """The config's, on the annotations of the training set."""
    given = copy.deepcopy(config.val_evaluator)
    metrics = [given] if isinstance(given, dict) else given
    for metric in metrics:
        if kind_of(metric) == "CocoMetric":
            metric.ann_file = join_path(train.get("data_root") or "", train.ann_file)
    return Evaluator(metrics)
