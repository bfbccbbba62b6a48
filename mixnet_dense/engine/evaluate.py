"""Evaluate a model with the metrics that its config names."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn

from mixnet_dense.engine.config import input_files
from mixnet_dense.engine.runner import test_runner
from mixnet_dense.files import check_writable, json_number, write_json


def evaluate(
    config: Config,
    model: nn.Module,
    *,
    folder: str | None = None,
    out: str | None = None,
    hooks: Sequence[Hook] = (),
    inputs: Sequence[str] = (),
) -> dict[str, float | None]:
    """Run the config's test loop, on the processes that `runner.launch` joined.

    Args:
        config: see `config.load_config` and, for other ways of testing, `variants`; it is not
            changed.
        model: with trained weights, see `config.open_model`.
        folder: for logs.
        out: JSON file to write ``{"metrics": {…}}`` to.
        hooks: called in the test loop.
        inputs: files that must not be written over, such as the checkpoint.

    Returns:
        The metrics by mm's names, such as ``coco/bbox_mAP`` or ``mIoU``; None where
        undefined.

    Raises:
        InputError: see `runner.test_runner`; or a file cannot be written.
    """
    if out:
        check_writable(out, input_files(config, *inputs))
    runner = test_runner(config, model, folder)
    for hook in hooks:
        runner.register_hook(hook)
    metrics = {name: json_number(value) for name, value in runner.test().items()}
    if out and runner.rank == 0:
        write_json(out, {"metrics": metrics})
    return metrics


def category_ids(dataset) -> list[int | None] | None:
    """The annotation file's id of each class, None for a class that it lacks.

    None for a dataset that is not COCO's, and for a ConcatDataset whose files number differently.
    """
    parts = getattr(dataset, "datasets", None)
    if parts:  # a ConcatDataset
        first, *others = map(category_ids, parts)
        return first if all(other == first for other in others) else None
    ids = getattr(dataset, "cat_ids", None)  # below zero: not in the annotation file
    return ids and [number if number >= 0 else None for number in ids]
