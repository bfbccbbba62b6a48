"""Searches in their own processes are killed at random moments and resumed: make test-survival."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from running import ROOT
from test_killed import children
from test_survival import load, same

pytestmark = pytest.mark.survival
OPTIONS = "--budget 95% --delta 0.02 --steps 1 --holdout 3 --proposals 2 --size 256 256"
TIMES = """
from mixnet_dense.adapt import latency

def time_pieces(wanted, where, repeats):
    return {key: 1 + sum(p.numel() for p in piece.parameters()) for key, piece in wanted.items()}

latency.time_pieces = time_pieces  # what is measured may not come down to the budget
"""


@pytest.fixture
def config(segmenter, tmp_path):
    """The tiny segmenter's, whose pieces take a time for each parameter."""
    (tmp_path / "times.py").write_text(TIMES)
    imports = 'custom_imports = dict(imports=["mixnet_dense", "times"])'
    text = (segmenter / "segmenter.py").read_text()
    (tmp_path / "c.py").write_text(f"{text}\n{imports}\n")
    return tmp_path / "c.py"


def start(config, checkpoint, work, processes):
    """The tool in processes of its own; it resumes what is there."""
    command = [ROOT / "tests/running.py", "adapt", config, checkpoint]
    command += ["--work-dir", work, "--resume", *OPTIONS.split()]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]
        command = [*launcher, *command, "--launcher", "pytorch"]
    command = [sys.executable, *map(str, command)]
    path = os.pathsep.join([str(config.parent), os.environ.get("PYTHONPATH", "")])
    with open(f"{work}.txt", "a") as log:
        environment = os.environ | dict(PYTHONPATH=path)
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def killed(process, work, changes):
    """End it and torchrun's processes when so many files have appeared, perhaps unfinished."""
    names = set(work.rglob("*"))
    while process.poll() is None and changes > 0:
        time.sleep(0.001)
        changes -= len((now := set(work.rglob("*"))) - names)
        names = now
    if process.poll() is None:
        for number in (process.pid, *children(process)):
            os.kill(number, signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_search_and_its_training_end_as_an_undisturbed_one(
    config, segmenter, tmp_path, processes
):
    trained = segmenter / "work"
    work, whole, chance = tmp_path / "work", tmp_path / "whole", random.Random(processes)
    moments = [*(chance.randint(1, 30) for _ in range(4)), math.inf]
    codes = [killed(start(config, trained, work, processes), work, moment) for moment in moments]
    print(f"\n{processes} processes: exit codes {codes}")
    assert set(codes) == {-9, 0}, (tmp_path / "work.txt").read_text()[-3000:]
    whole.mkdir()
    shutil.copy(work / "latency.csv", whole)  # the same times, so that the choices can be compared
    assert start(config, trained, whole, processes).wait() == 0, (
        tmp_path / "whole.txt"
    ).read_text()
    found, expected = (json.loads((w / "search/state.json").read_text()) for w in (work, whole))
    assert found["rows"] == expected["rows"] and len(found["rows"]) > 2
    for name in ("latency.csv", "found.json", "proposals.csv"):
        assert (work / name).read_text() == (whole / name).read_text()
    found, expected = (load(w / "trained/epoch_2.pth") for w in (work, whole))
    assert same(found["state_dict"], expected["state_dict"])
    assert not list(work.rglob(".*"))
