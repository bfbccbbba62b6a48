"""Trainings in their own processes are killed, stopped, lose their disk: make test-survival.

``SURVIVAL_MINUTES`` is how long data workers are killed while the memory is measured (2), and
``SURVIVAL_PLOT`` a picture to draw of it.
"""

import contextlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from running import ROOT, TINY_DETECTOR, TINY_SEGMENTER
from test_survival import load, same

from mixnet_dense.sample.build import build_sample
from mixnet_dense.seg.prepare import prepare
from mixnet_dense.weights.load import latest_checkpoint

pytestmark = pytest.mark.survival
WORKERS = """
train_dataloader.update(num_workers=2, persistent_workers=True)
default_hooks = dict(logger=dict(interval=1))
"""
EPOCHS = f"""{WORKERS}
train_cfg.update(max_epochs=10, val_interval=2)
"""
STEPS = f"""{WORKERS}
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=60, val_interval=12)
default_hooks["checkpoint"] = dict(by_epoch=False, interval=5)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "sample"
    build_sample(folder, train=24, val=4)  # 6 steps an epoch
    prepare(folder, io.StringIO())
    return folder


def start(folder, config, *options, work="work", resume=False):
    """Begin a training in a process of its own, and wait until it trains."""
    arguments = [folder / config, "--work-dir", folder / work, *["--resume"] * resume]
    command = [sys.executable, ROOT / "tests/running.py", "train", *arguments, "--no-check"]
    if options:
        command += ["--cfg-options", *options]
    known = set(Path(folder, work).glob("*/*.log"))
    log = open(folder / "out.txt", "w")
    process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
    ready = "Checkpoints will be saved"
    while process.poll() is None:
        logs = set(Path(folder, work).glob("*/*.log")) - known
        if any(ready in file.read_text(errors="replace") for file in logs):
            break
        time.sleep(0.05)
    return process


def finish(process, folder):
    code = process.wait(300)
    return code, (folder / "out.txt").read_text(errors="replace")


def one_line(text):
    assert "Traceback" not in text, text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


def config(folder, data, text, more, name="c.py"):
    (folder / name).write_text(text.replace("SAMPLE", str(data)) + more)
    return name


def last(folder):
    return load(latest_checkpoint(str(folder)))


TASKS = {"detection": (TINY_DETECTOR, EPOCHS), "segmentation": (TINY_SEGMENTER, STEPS)}


@pytest.fixture(scope="module", params=TASKS)
def whole(request, data, tmp_path_factory):
    """A folder with an uninterrupted training in ``whole``."""
    folder = tmp_path_factory.mktemp(request.param)
    config(folder, data, *TASKS[request.param])
    code, text = finish(start(folder, "c.py", work="whole"), folder)
    assert code == 0, text
    return folder


def killed(folder, number, times, chance):
    """Train, end the process by a signal at random moments, resume each time; the exit codes."""
    codes = []
    for _ in range(times):
        process = start(folder, "c.py", resume=True)
        time.sleep(chance.uniform(0, 2))
        process.send_signal(number)
        code, _ = finish(process, folder)
        done = code == -signal.SIGTERM and last(folder / "work")["meta"]["iter"] == 60
        codes.append(0 if done else code)  # the process was ending by itself
    code, text = finish(start(folder, "c.py", resume=True), folder)
    assert code == 0, text
    return codes


@pytest.mark.parametrize(("number", "times"), [(signal.SIGKILL, 10), (signal.SIGTERM, 5)])
def test_ended_at_random_moments_and_resumed_the_weights_are_the_same(whole, number, times):
    shutil.rmtree(whole / "work", ignore_errors=True)
    codes = killed(whole, number, times, random.Random(int(number)))
    print(f"\n{whole.name}: exit codes {codes}")
    expected = {0, -9} if number == signal.SIGKILL else {0, 143}
    assert set(codes) <= expected and len(set(codes) - {0}) == 1
    found, uninterrupted = last(whole / "work"), last(whole / "whole")
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert same(found[part], uninterrupted[part])
    scores = [c["message_hub"]["runtime_info"]["best_score"] for c in (found, uninterrupted)]
    assert scores[0] == scores[1]
    assert not list((whole / "work").glob(".*"))
    if number == signal.SIGTERM:  # what a stop saved is what the next run goes on from
        text = "".join(log.read_text() for log in sorted((whole / "work").glob("*/*.log")))
        stopped = re.findall(r"stopped after step (\d+)", text)
        resumed = re.findall(r"resumed epoch: \d+, iter: (\d+)", text)
        print(f"stopped after {stopped}, resumed from {resumed}")
        assert set(stopped) <= set(resumed)


# --------------------------------------------------------------------- the disk


def mounted(*arguments):
    command = ["mount", *map(str, arguments)]
    if os.getuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs to mount a file system")


@pytest.fixture
def disk(tmp_path):
    """A file system of 100 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=100m", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "-l", folder])


def test_a_disk_that_fills_up_during_a_checkpoint(data, tmp_path, disk):
    config(tmp_path, data, TINY_DETECTOR, EPOCHS)
    process = start(tmp_path, "c.py", work="disk")
    while not (disk / "epoch_2.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 2_000_000)))
    process.send_signal(signal.SIGCONT)
    code, text = finish(process, tmp_path)
    line = one_line(text)
    print(line)
    assert code == 2 and "cannot be written: No space left on device; the newest whole" in line
    assert last(disk)["meta"]["epoch"] >= 2 and not list(disk.glob(".*"))
    assert all(torch.load(path, weights_only=False) for path in disk.glob("*.pth"))
    (disk / "filler").unlink()
    code, text = finish(start(tmp_path, "c.py", work="disk", resume=True), tmp_path)
    assert code == 0, text


@pytest.mark.parametrize("how", ["read-only", "a file in its place", "removed"])
def test_a_work_dir_that_is_lost_in_mid_training(data, tmp_path, how):
    config(tmp_path, data, TINY_DETECTOR, EPOCHS)
    process = start(tmp_path, "c.py")
    work = tmp_path / "work"
    while not (work / "epoch_1.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    if how == "read-only":
        mounted("--bind", work, work)
        mounted("-o", "remount,bind,ro", work)
    else:
        work.rename(tmp_path / "moved")
        if how != "removed":
            work.write_text("")
    code, text = finish(process, tmp_path)
    if how == "read-only":
        subprocess.run(["umount", "-l", work])
    if how == "removed":  # it is made again, and the training goes on
        assert code == 0 and last(work)["meta"]["epoch"] == 10, text
        return
    line = one_line(text)
    print(line)
    assert code == 2 and "cannot be written: " in line
    assert last(work if how == "read-only" else tmp_path / "moved")["meta"]["epoch"] >= 1


def test_a_data_folder_removed_in_mid_epoch(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    config(tmp_path, tmp_path / "data", TINY_DETECTOR, EPOCHS)
    process = start(tmp_path, "c.py")
    while not (tmp_path / "work/epoch_1.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    shutil.rmtree(tmp_path / "data/train2017")
    code, text = finish(process, tmp_path)
    line = one_line(text)
    print(line)
    assert code == 2 and line.endswith("train2017: is no longer there")
    assert last(tmp_path / "work")["meta"]["epoch"] >= 1


# ----------------------------------------------------------------- data workers


def children(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def megabytes(number):
    """The memory of a process that is not shared with others, 0 if it has ended."""
    try:
        rows = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1024


def test_data_workers_killed_at_random_are_replaced_and_memory_stays_flat(data, tmp_path):
    minutes, chance = float(os.environ.get("SURVIVAL_MINUTES", 2)), random.Random(0)
    config(tmp_path, data, TINY_DETECTOR, EPOCHS.replace("max_epochs=10", "max_epochs=9999"))
    process, rows, kills = start(tmp_path, "c.py"), [], 0
    begin = time.monotonic()
    while process.poll() is None and (now := time.monotonic() - begin) < 60 * minutes:
        workers = children(process)
        rows.append((now, megabytes(process.pid), [megabytes(number) for number in workers]))
        if workers and chance.random() < 0.1:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1
        time.sleep(1)
    process.terminate()
    code, text = finish(process, tmp_path)
    assert code == 143, text[-3000:]
    replaced, steps = text.count("a data worker died"), last(tmp_path / "work")["meta"]["iter"]
    quarter = len(rows) // 4
    parts = rows[quarter : 2 * quarter], rows[-quarter:]
    early, late = (sum(row[1] for row in part) / len(part) for part in parts)
    print(f"\n{minutes} minutes, {steps} steps, {kills} workers killed, {replaced} times replaced")
    print(f"parent {early:.0f} MB in the second quarter, {late:.0f} MB in the last")
    print(f"workers at most {max(max(row[2], default=0) for row in rows):.0f} MB each")
    if picture := os.environ.get("SURVIVAL_PLOT"):
        draw(rows, picture)
    assert kills and replaced and late < 1.1 * early


def draw(rows, picture):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axis = figure.subplots()
    minutes = [row[0] / 60 for row in rows]
    axis.plot(minutes, [row[1] for row in rows], label="training process")
    axis.plot(minutes, [sum(row[2]) for row in rows], label="its data workers together")
    axis.set(xlabel="minutes", ylabel="private memory, MB", ylim=(0, None))
    axis.legend()
    figure.savefig(picture, dpi=100)
