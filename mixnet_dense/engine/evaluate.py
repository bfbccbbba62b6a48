"""Evaluate a model with the metrics that its config names."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mixnet_dense.engine.config import input_files
from mixnet_dense.engine.results import Results, ResultsHook
from mixnet_dense.engine.runner import test_runner
from mixnet_dense.files import check_writable, json_number, write_json
from mixnet_dense.images import picture_names

_PICTURES = 12


def evaluate(
    config: Config,
    model: nn.Module,
    *,
    folder: str | None = None,
    out: str | None = None,
    report: str | None = None,
    inputs: Sequence[str] = (),
) -> dict[str, float | None]:
    """Run the config's test loop, on the processes that `runner.launch` joined.

    Args:
        config: see `config.load_config` and, for other ways of testing, `variants`; it is not
            changed.
        model: with trained weights, see `config.open_model`.
        folder: for logs.
        out: JSON file to write ``{"metrics": {…}}`` to.
        report: folder for ``metrics.json``, ``predictions.json`` with the results of all
            images (see `results.Results`), and pictures of the first twelve.
        inputs: files that must not be written over, such as the checkpoint.

    Returns:
        The metrics by mm's names, such as ``coco/bbox_mAP`` or ``mIoU``; None where
        undefined.

    Raises:
        InputError: see `runner.test_runner`; or a file cannot be written.
    """
    targets = [out] if out else []
    if report:
        targets.append(str(Path(report) / "metrics.json"))
    for path in targets:
        check_writable(path, input_files(config, *inputs))
    runner = test_runner(config, model, folder)
    if report:
        results = _results(runner, Path(report))
        runner.register_hook(results)
    metrics = {name: json_number(value) for name, value in runner.test().items()}
    if runner.rank == 0:
        for path in targets:
            write_json(path, {"metrics": metrics})
        if report:
            write_json(str(Path(report) / "predictions.json"), results.rows)
    return metrics


def _results(runner: Runner, report: Path) -> ResultsHook:
    """A hook that collects the rows of all images and draws the first images."""
    dataset = runner.test_loop.dataloader.dataset
    first = range(min(_PICTURES, len(dataset)))
    images = [Path(dataset.get_data_info(index)["img_path"]) for index in first]
    described = Results(dataset.metainfo, category_ids(dataset))
    return ResultsHook(described, picture_names(images, report))


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
