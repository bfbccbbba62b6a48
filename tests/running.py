"""Running the command-line tools, in this process or in others, on models of a few weights."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TINY_DETECTOR = f'''
_base_ = "{ROOT}/configs/ssdlite_mixnet_sample.py"
data = dict(data_root="SAMPLE/")
model = dict(
    backbone=dict(width=0.35),
    neck=dict(in_channels=(240, 1536), extra_channels=(32, 32, 32, 32)),
    bbox_head=dict(in_channels=(240, 1536, 32, 32, 32, 32)),
    test_cfg=dict(score_thr=0.0, max_per_img=20),  # it detects something, however untrained
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=2)
'''
TINY_SEGMENTER = f'''
_base_ = "{ROOT}/configs/lraspp_mobilenetv3_small_sample.py"
data = dict(data_root="SAMPLE/")
crop_size, train_pipeline = (64, 64), _base_.train_pipeline
train_pipeline[3]["crop_size"] = crop_size
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(width=0.35),
    decode_head=dict(in_channels=(32, 104), channels=16),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, **data),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=2)
slide_test_cfg = dict(mode="slide", crop_size=(128, 96), stride=(80, 64))
tta_pipeline = _base_.tta_pipeline
del tta_pipeline[1]["transforms"][0][2:]  # two scales
'''


@contextmanager
def configs_as_they_are():
    """Without yapf, which lays out what mmengine logs and saves: half the time of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("yapf.yapflib.yapf_api", "mmengine.config.config"):
            plain = lambda text, **_options: (text, True)  # noqa: E731
            patch.setattr(f"{module}.FormatCode", plain, raising=False)
        yield


def from_file(path):
    """A file that is not in a package, as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name, parse_only=False):
    """The main of ``tools/NAME.py``, or what reads its arguments, as a function of these."""
    module = from_file(ROOT / "tools" / f"{name}.py")
    if parse_only:
        return lambda *argv: module.parse_args(list(argv))
    return lambda *argv: module.main(module.parse_args([str(arg) for arg in argv]))


def shell(*argv, cwd):
    """Run Python with arguments and return its finished process."""
    command = [sys.executable, *(str(arg) for arg in argv)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def fresh(code, blocked=()):
    """What code prints in a Python of its own, where the blocked modules cannot be imported."""
    prelude = f"import sys; sys.modules.update(dict.fromkeys({list(blocked)}))\n"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", prelude + textwrap.dedent(code)]
    options = dict(cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, text=True)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process = subprocess.run(command, **options, **pipes)
    assert process.returncode == 0, process.stdout
    return process.stdout


def one_error_line(process):
    """The line of a tool that found bad input; it must be the only one, with exit code 2."""
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    return line


if __name__ == "__main__":  # several tools one after another: train ARGUMENTS + test ARGUMENTS
    from mixnet_dense.cli import run

    def main():
        for command in " ".join(sys.argv[1:]).split(" + "):
            name, *arguments = command.split()
            tool(name)(*arguments)

    with configs_as_they_are():
        run(main)
