"""Several processes train to the weights of one that has the whole batch, on a CPU by gloo.

torch's SyncBatchNorm takes no CPU tensors. Here `sync_batch_norm` stands in its place; torch's
own is compared in test_gpu.py. With statistics of a batch, rounding grows from step to step, at a
large learning rate without bound: these trainings are in float64, at a small one.
"""

import os

import pytest
import torch
from running import ROOT, TINY_DETECTOR, TINY_SEGMENTER, shell

from mixnet_dense.checkpoints import load_file

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="nccl takes the place of gloo")
STEPS, BATCH = 20, 4
TASKS = {"detector": (TINY_DETECTOR, "sample"), "segmenter": (TINY_SEGMENTER, "prepared")}
NORMS = {
    "frozen": 'custom_hooks = [dict(type="mixnet_dense.FixedNormHook")]\nlr = 5e-4',
    "synchronised": """sync_bn, lr = "torch", 5e-4
custom_imports = dict(imports=["sync_batch_norm"])""",
}
# Nothing is drawn at random but the order of the images. All negatives count: which are the hardest
# can change with the rounding. Every pixel of the background is ignored,
# so that images have unequal numbers of labelled ones, one image none.
CHANGES = f"""
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", **({{"with_bbox": True}} if "TASK" == "detector" else {{}})),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    dict(type="PackDetInputs" if "TASK" == "detector" else "PackSegInputs"),
]
train_dataloader["dataset"]["pipeline"] = train_pipeline
if "TASK" == "detector":
    model["train_cfg"] = dict(neg_pos_ratio=None)
if "TASK" == "segmenter":
    model["decode_head"]["ignore_index"] = 0
val_dataloader = val_cfg = val_evaluator = None
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters={STEPS})
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=lr, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = None
default_hooks = dict(checkpoint=dict(by_epoch=False, interval={STEPS}, save_best=None))
"""


def write(request, folder, task, norm):
    text, data = TASKS[task]
    changes = f"\n{NORMS[norm]}{CHANGES}".replace("TASK", task)
    path = folder / f"{task}_{norm}.py"
    path.write_text(text.replace("SAMPLE", str(request.getfixturevalue(data))) + changes)
    return path


def command(config, folder, processes):
    """Arguments of a training whose steps have the same images with any number of processes."""
    static = f"model_wrapper_cfg.static_graph={processes > 2}"
    batch = f"train_dataloader.batch_size={BATCH // processes}"
    last = ("--launcher", "pytorch") if processes > 1 else ()
    return (config, "--work-dir", folder / config.stem, "--cfg-options", batch, static, *last)


def weights(folder, config):
    return load_file(folder / config.stem / f"iter_{STEPS}.pth")["state_dict"]


def compare(request, folder, monkeypatch, processes, norm):
    """Train on one process and on several; compare all weights and statistics."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
    configs = [write(request, folder, task, norm) for task in TASKS]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes)
    for name, number, start in (("one", 1, ()), ("several", processes, launcher)):
        commands = []
        for config in configs:
            commands += ["train", *command(config, folder / name, number), "+"]
        found = shell(*start, ROOT / "tests/running.py", *commands[:-1], cwd=folder)
        assert found.returncode == 0, found.stderr
    for config in configs:
        (log,) = (folder / "several" / config.stem).glob("*/*.log")
        assert f"4 images a step ({BATCH // processes} x {processes} processes)" in log.read_text()
        one, several = weights(folder / "one", config), weights(folder / "several", config)
        assert one.keys() == several.keys()
        for name, value in one.items():
            what = f"{config.stem}: {name}: {{}}".format
            torch.testing.assert_close(several[name], value, rtol=1e-5, atol=1e-5, msg=what)


def test_two_processes_have_the_weights_of_one(request, tmp_path, monkeypatch):
    compare(request, tmp_path, monkeypatch, 2, "frozen")


@pytest.mark.scaling
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_have_the_weights_of_one(request, tmp_path, monkeypatch, processes, norm):
    compare(request, tmp_path, monkeypatch, processes, norm)
