"""Beginning a training from a trained model with other classes, worked by hand."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from running import ROOT, TINY_DETECTOR, tool
from torch import nn

from mixnet_dense import checkpoints
from mixnet_dense.engine.train import long_warm_ups
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights.catalogue import coco_slots
from mixnet_dense.weights.transfer import fit, fit_checkpoint


def outputs(*rows):
    """A 1x1 convolution's weight with one input."""
    return torch.tensor(rows, dtype=torch.float).reshape(-1, 1, 1, 1)


def fitted(theirs, classes, own, own_classes, extra=1):
    return fit({"cls.weight": theirs}, classes, {"cls.weight": own}, own_classes, {"cls": extra})


def test_rows_follow_the_names_for_every_anchor():
    # two anchors; each has cat, dog, background in the file, and dog, raccoon, cat, background here
    theirs, own = outputs(1, 2, 3, 11, 12, 13), outputs(*range(-8, 0))
    found = fitted(theirs, ("cat", "dog"), own, ("dog", "raccoon", "cat"))
    expected = outputs(2, -7, 1, 3, 12, -3, 11, 13)
    assert torch.equal(found.state_dict["cls.weight"], expected)
    assert (found.kept, found.parted, found.anew) == ([], ["cls.weight"], [])
    assert torch.equal(own, outputs(*range(-8, 0)))  # the model's own values are not changed
    bias = fitted(theirs.flatten(), ("cat", "dog"), own.flatten(), ("dog", "raccoon", "cat"))
    assert torch.equal(bias.state_dict["cls.weight"], expected.flatten())


def test_without_a_common_name_only_the_background_is_kept():
    found = fitted(outputs(1, 2, 3), ("cat", "dog"), outputs(-1, -2), ("raccoon",))
    assert torch.equal(found.state_dict["cls.weight"], outputs(-1, 3))
    segmenter = fitted(outputs(1, 2), ("cat", "dog"), outputs(-1), ("raccoon",), extra=0)
    assert segmenter.anew == ["cls.weight"]


def test_equal_names_in_another_order_are_reordered():
    found = fitted(outputs(1, 2, 3), ("a", "b"), outputs(0, 0, 0), ("b", "a"))
    assert torch.equal(found.state_dict["cls.weight"], outputs(2, 1, 3))
    same = fitted(outputs(1, 2, 3), ["a", "b"], outputs(0, 0, 0), ("a", "b"))
    assert same.kept == ["cls.weight"]


@pytest.mark.parametrize("wide", [True, False])
def test_coco_with_80_classes_and_with_90_ids(wide):
    slots = coco_slots()
    names = tuple(name for name in slots if not name.startswith("(none"))
    ninety, eighty = torch.arange(2 * 91.0), -torch.ones(2 * 81)
    if wide:  # 90 to 80
        found = fitted(ninety, slots, eighty, names).state_dict["cls.weight"].view(2, 81)
        assert found[0, 0] == 0 and found[0, 79] == 89 and found[0, 80] == 90
        assert found[1, 11] == 91 + 12  # the stop sign, of id 13
    else:
        found = fitted(eighty, names, ninety, slots).state_dict["cls.weight"].view(2, 91)
        places = (found[1] != -1).nonzero().flatten() + 1
        assert places.tolist() == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]  # ids of no class


def test_other_numbers_of_anchors_or_inputs_start_anew():
    own = outputs(-1, -2, -3, -4)
    for theirs in (outputs(*range(9)), outputs(*range(5)), torch.ones(6, 2, 1, 1)):
        found = fitted(theirs, ("cat", "dog"), own, ("raccoon",))
        assert found.anew == ["cls.weight"] and found.state_dict["cls.weight"] is own


def test_a_file_without_names_is_taken_as_it_fits():
    assert fitted(outputs(1, 2), (), outputs(0, 0), ("raccoon",)).kept == ["cls.weight"]
    assert fitted(outputs(1, 2, 3), (), outputs(0, 0), ("raccoon",)).anew == ["cls.weight"]


class Model(nn.Module):
    def __init__(self, classes, width=2):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, 2, 1))
        self.head = nn.Module()
        self.head.cls = nn.Conv2d(2, 2 * (classes + 1), 1)
        self.head.box = nn.Conv2d(2, 8, 1)
        self.head.class_convs = {"cls": 1}


def checkpoint(model, *classes):
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    return dict(state_dict=state, meta=dict(dataset_meta=dict(classes=classes)))


def test_one_line_says_what_is_kept_and_what_is_new():
    trained, model = Model(2), Model(3)
    found = checkpoint(trained, "dog", "person")
    state, line = fit_checkpoint(found, model, ("person", "raccoon", "dog"))
    assert line == "6 of 8 tensors kept, 2 in part; classes kept: person, dog; new: raccoon"
    assert torch.equal(state["head.box.weight"], trained.head.box.weight)
    assert torch.equal(state["head.cls.bias"][0], trained.head.cls.bias[1])
    del found["state_dict"]["module.head.box.bias"]
    line = fit_checkpoint(found, Model(1), ("raccoon",))[1]
    assert line == (
        "5 of 8 tensors kept, 2 in part; classes kept: none; new: raccoon; 1 start anew, first "
        "'head.box.bias'"
    )
    assert fit_checkpoint(found["state_dict"], trained, ("a", "b"))[1].startswith("7 of 8 tensors")


def test_weights_of_another_network_are_refused():
    found = checkpoint(Model(2, width=5), "dog", "person")
    del found["state_dict"]["module.backbone.1.bias"]
    with pytest.raises(InputError, match="^is of another network: 0 of 4 tensors of the backbone"):
        fit_checkpoint(found, Model(2), ("dog", "person"))
    alone = {key.removeprefix("backbone."): value for key, value in Model(2).state_dict().items()}
    with pytest.raises(InputError, match="belong into model.backbone.init_cfg"):
        fit_checkpoint(alone, Model(2), ("dog", "person"))


@pytest.mark.parametrize(
    ("name", "head", "convs"),
    [
        ("ssdlite_mobilenetv2_tf", "bbox_head", {f"cls_convs.{i}.1": 1 for i in range(6)}),
        ("lraspp_mobilenetv3_small", "decode_head", {"conv_seg": 0, "low_seg": 0}),
        ("raspp_mobilenetv2", "decode_head", {"conv_seg": 0}),
    ],
)
def test_heads_name_every_convolution_with_outputs_of_classes(name, head, convs):
    config, shapes = Config.fromfile(ROOT / f"configs/{name}.py"), []
    init_default_scope(config.default_scope)
    for classes in (5, 7):
        config.model[head].num_classes = classes
        with torch.device("meta"):
            model = getattr(MODELS.build(config.model), head)
        shapes.append({key: value.shape for key, value in model.state_dict().items()})
    changed = {key for key, shape in shapes[0].items() if shapes[1][key] != shape}
    assert changed == {f"{conv}.{tensor}" for conv in convs for tensor in ("weight", "bias")}
    assert model.class_convs == convs
    for key in changed:  # a group for each anchor, each with the classes and what follows them
        extra = convs[key.rpartition(".")[0]]
        groups = {
            shape[key][0] / (count + extra) for shape, count in zip(shapes, (5, 7), strict=True)
        }
        assert groups in ({1}, {3}, {6})


def test_a_training_begins_with_what_fits(detector, sample, tmp_path):
    """Its learning rate is 0 and its batch norms are fixed, so that nothing changes afterwards."""
    text = TINY_DETECTOR.replace("SAMPLE", str(sample))
    text = text.replace('/"', '/", metainfo=dict(classes=("four", "disc", "coin"))', 1)
    text += '\ndefault_hooks = dict(fixed=dict(type="mixnet_dense.FixedNormHook"))\n'
    (tmp_path / "other.py").write_text(text)
    annotations = (sample / "annotations/instances_train2017.json").read_text()
    (tmp_path / "other.json").write_text(annotations.replace('"zero"', '"disc"'))
    options = [
        f"train_dataloader.dataset.ann_file={tmp_path / 'other.json'}",
        f"load_from={detector / 'work/epoch_2.pth'}",
        "model.bbox_head.num_classes=3",
        "optim_wrapper.optimizer.lr=0.0",
        "train_cfg.max_epochs=1",
    ]
    arguments = (tmp_path / "other.py", "--work-dir", tmp_path / "work", "--cfg-options")
    tool("train")(*arguments, *options)
    (log,) = (tmp_path / "work").glob("*/*.log")
    log = log.read_text()
    (line,) = [line for line in log.splitlines() if "load_from" in line and "kept" in line]
    assert line.endswith("12 in part; classes kept: four, coin; new: disc")
    assert "do not match exactly" not in log
    assert "warm-up takes 100 of 2 steps, more than a tenth of the training" in log
    theirs = checkpoints.read(str(detector / "work/epoch_2.pth"))[0]
    ours = checkpoints.read(str(tmp_path / "work/epoch_1.pth"))[0]
    cls = [key for key in ours if ".cls_convs." in key and key.endswith((".1.weight", ".1.bias"))]
    assert len(cls) == 12
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key not in cls)
    for key in cls:  # coin, zero, three, four, background in the file
        rows = [state[key].view(-1, count, *state[key].shape[1:])
                for state, count in ((ours, 4), (theirs, 5))]  # fmt: skip
        assert torch.equal(rows[0][:, [0, 2, 3]], rows[1][:, [3, 0, 4]])
    with pytest.raises(InputError, match="^load_from .*epoch_2.pth: is of another network: "):
        tool("train")(
            *arguments, *options, "model.backbone.kernel_sizes=(3,5)", "model.backbone.width=0.5",
            "model.neck.in_channels=(384,1536)",
            "model.bbox_head.in_channels=(384,1536,32,32,32,32)",
        )  # fmt: skip


def test_a_warm_up_of_more_than_a_tenth_is_told():
    linear = dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500)
    cosine = dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=600)
    assert long_warm_ups([linear, cosine], 1, 5000) == []
    (line,) = long_warm_ups([linear, cosine], 1, 600)
    assert line.startswith("warm-up takes 500 of 600 steps, more than a tenth")
    by_epoch = dict(linear, by_epoch=True, end=2)
    assert long_warm_ups(by_epoch, 10, 200) == []
    assert long_warm_ups(by_epoch, 10, 199)[0].startswith("warm-up takes 20 of 199 steps")
    falling = dict(type="LinearLR", start_factor=1.0, end_factor=0.0, by_epoch=False, end=600)
    assert long_warm_ups([falling], 1, 600) == []
    late = dict(type="CosineAnnealingLR", by_epoch=False, begin=10)
    assert long_warm_ups([late], 1, 11) == []
    with pytest.raises(InputError, match="CosineAnnealingLR begins at step 10, the training has 5"):
        long_warm_ups([late], 1, 5)
