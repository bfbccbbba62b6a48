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
OPTIONS = "--budget 98% --delta 0.02 --steps 1 --holdout 3 --proposals 2 --size 256 256 --repeats 5"


def start(segmenter, work, processes):
    """The tool on the tiny segmenter, in processes of its own; it resumes what is there."""
    command = [ROOT / "tests/running.py", "adapt", segmenter / "segmenter.py", segmenter / "work"]
    command += ["--work-dir", work, "--resume", *OPTIONS.split()]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes]
        command = [*launcher, *command, "--launcher", "pytorch"]
    with open(f"{work}.txt", "a") as log:
        return subprocess.Popen([sys.executable, *map(str, command)], stdout=log, stderr=log)


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
def test_a_killed_search_and_its_training_end_as_an_undisturbed_one(segmenter, tmp_path, processes):
    work, whole, chance = tmp_path / "work", tmp_path / "whole", random.Random(processes)
    moments = [*(chance.randint(1, 30) for _ in range(4)), math.inf]
    codes = [killed(start(segmenter, work, processes), work, moment) for moment in moments]
    print(f"\n{processes} processes: exit codes {codes}")
    assert set(codes) == {-9, 0}, (tmp_path / "work.txt").read_text()[-3000:]
    whole.mkdir()
    shutil.copy(work / "latency.csv", whole)  # the same times, so that the choices can be compared
    assert start(segmenter, whole, processes).wait() == 0, (tmp_path / "whole.txt").read_text()
    found, expected = (json.loads((w / "search/state.json").read_text()) for w in (work, whole))
    assert found["rows"] == expected["rows"] and len(found["rows"]) > 2
    for name in ("latency.csv", "found.json", "proposals.csv"):
        assert (work / name).read_text() == (whole / name).read_text()
    found, expected = (load(w / "trained/epoch_2.pth") for w in (work, whole))
    assert same(found["state_dict"], expected["state_dict"])
    assert not list(work.rglob(".*"))
