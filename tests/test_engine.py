"""What the tools are made of, worked by hand."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mixnet_dense.engine.config import image_pipeline, without_annotations
from mixnet_dense.engine.evaluate import category_ids
from mixnet_dense.engine.memory import keep_freed_memory
from mixnet_dense.engine.results import coco_ids
from mixnet_dense.engine.runner import completed
from mixnet_dense.engine.train import learning_rate
from mixnet_dense.errors import InputError


class CLibrary:
    """glibc's mallopt, as before 2.35: it takes no threshold above 32 MiB."""

    def __init__(self, refused=()):
        self.set, self._refused = {}, refused

    def mallopt(self, parameter, value):
        if parameter in self._refused or (parameter == -3 and value > 2**25):
            return 0
        self.set[parameter] = value
        return 1


def test_old_glibc_keeps_freed_memory_too():
    library = CLibrary()
    assert keep_freed_memory(library) == []
    assert library.set == {-4: 0, -1: 2**31 - 1}  # M_MMAP_MAX, M_TRIM_THRESHOLD


def test_memory_settings_are_made_each_on_its_own():
    library = CLibrary(refused=(-4,))
    assert keep_freed_memory(library) == ["M_MMAP_MAX"]
    assert library.set == {-1: 2**31 - 1}
    assert keep_freed_memory(object()) == ["M_MMAP_MAX", "M_TRIM_THRESHOLD"]  # not glibc


def test_the_evaluator_takes_the_datasets_annotations_unless_told_otherwise():
    def evaluator(given, metric="mixnet_dense.CocoMetric", dataset="mixnet_dense.CocoDataset"):
        part = dict(type=dataset, data_root="photos", ann_file="val.json", backend_args=None)
        loader = dict(dataset=dict(type="RepeatDataset", dataset=part))
        config = dict(val_dataloader=loader, val_evaluator=[dict(type=metric, **given)])
        return completed(Config(config)).val_evaluator[0].get("ann_file")

    assert evaluator({}) == evaluator(dict(ann_file=None)) == "photos/val.json"
    assert evaluator({}, "CocoMetric", "mmdet.CocoDataset") == "photos/val.json"
    assert evaluator(dict(ann_file="mine.json")) == "mine.json"
    assert evaluator({}, dataset="VOCDataset") is None  # mmdet makes COCO's rows of it
    assert evaluator({}, metric="IoUMetric") is None


@pytest.mark.parametrize(
    ("scaling", "processes", "expected"),
    [
        (
            dict(enable=False, base_batch_size=192),
            2,
            "learning rate 0.015 for 48 images a step (24 x 2 processes), as in the config, "
            "where it is for 192; --auto-scale-lr would make it 0.00375",
        ),
        (
            dict(enable=False, base_batch_size=192),
            8,
            "learning rate 0.015 for 192 images a step (24 x 8 processes), as in the config, "
            "where it is for 192",
        ),
        (
            dict(enable=True, base_batch_size=192),
            2,
            "learning rate 0.00375 for 48 images a step (24 x 2 processes): the config's 0.015 is "
            "for 192",
        ),
        (None, 1, "learning rate 0.015, as in the config, for 24 images a step (24 x 1 processes)"),
    ],
)
def test_learning_rate_and_why(scaling, processes, expected):
    config = Config(
        dict(
            train_dataloader=dict(batch_size=24),
            optim_wrapper=dict(optimizer=dict(lr=0.015)),
            auto_scale_lr=scaling,
        )
    )
    assert learning_rate(config, processes) == expected


def test_pipelines_without_annotations():
    steps = [dict(type=name) for name in ("Load", "mmdet.LoadAnnotations", "Resize")]
    augmented = [steps[0], dict(type="TestTimeAug", transforms=[[steps[2]], [steps[1]]])]
    assert without_annotations(steps) == [steps[0], steps[2]]
    expected = [steps[0], dict(type="TestTimeAug", transforms=[[steps[2]]])]
    assert without_annotations(augmented) == expected
    repeated = dict(type="RepeatDataset", dataset=dict(pipeline=steps))
    config = Config(dict(test_dataloader=dict(dataset=repeated), test_pipeline=[]))
    assert image_pipeline(config) == [steps[0], steps[2]]
    with pytest.raises(InputError, match="no test_dataloader.dataset.pipeline"):
        image_pipeline(Config(dict(test_pipeline=steps)))


def test_category_ids_where_no_file_says_them():
    assert coco_ids(("a", "b", "c")) == [1, 2, 3]
    eighty = ("person", *map(str, range(78)), "toothbrush")
    ids = coco_ids(eighty)
    assert len(ids) == 80 and ids[:12] == [*range(1, 12), 13] and ids[-1] == 90


def test_category_ids_are_those_of_the_annotation_files_also_of_several():
    one, same = (SimpleNamespace(cat_ids=[7, -2, 3]) for _ in range(2))
    other, labels = SimpleNamespace(cat_ids=[1, 2, 3]), SimpleNamespace()
    assert category_ids(one) == category_ids(SimpleNamespace(datasets=[one, same])) == [7, None, 3]
    assert category_ids(SimpleNamespace(datasets=[one, other])) is None
    assert category_ids(labels) is category_ids(SimpleNamespace(datasets=[labels])) is None
