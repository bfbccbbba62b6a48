"""tools/dist_train.sh and slurm_train.sh take the arguments that mmdet's take, in their order."""

import os
import subprocess

import pytest
from running import ROOT

CASES = [
    (
        "dist_train.sh",
        ["my.py", "2", "--amp"],
        {},
        "-m torch.distributed.run --nnodes 1 --node_rank 0 --nproc_per_node 2"
        " --master_addr 127.0.0.1 --master_port 29500 TOOLS/train.py my.py --launcher pytorch"
        " --amp",
    ),
    (
        "dist_train.sh",
        ["my.py", "8"],
        dict(NNODES="2", NODE_RANK="1", MASTER_ADDR="first", PORT="4000"),
        "-m torch.distributed.run --nnodes 2 --node_rank 1 --nproc_per_node 8"
        " --master_addr first --master_port 4000 TOOLS/train.py my.py --launcher pytorch",
    ),
    (
        "slurm_train.sh",
        ["gpu", "job", "my.py", "work", "--resume"],
        dict(GPUS="16"),
        "-p gpu --job-name=job --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=5"
        " --kill-on-bad-exit=1 echo -u TOOLS/train.py my.py --work-dir work --launcher slurm"
        " --resume",
    ),
]


def run(name, arguments, environment):
    command = ["bash", str(ROOT / "tools" / name), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "arguments", "environment", "expected"), CASES)
def test_command(name, arguments, environment, expected, tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    found = run(name, arguments, dict(environment, PYTHON="echo", PATH=path))
    assert found.stdout.strip().replace(str(ROOT / "tools"), "TOOLS") == expected


@pytest.mark.parametrize("name", ["dist_train.sh", "slurm_train.sh"])
def test_too_few_arguments(name):
    found = run(name, ["my.py"], {})
    assert found.returncode == 2 and found.stderr.startswith(f"usage: bash tools/{name} ")
