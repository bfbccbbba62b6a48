"""The search: what it chooses, stopped and resumed, on several processes; what it leaves."""

import csv
import json
import multiprocessing
import os

import pytest
import torch
from running import tool

from mixnet_dense import checkpoints
from mixnet_dense.adapt import latency, trial
from mixnet_dense.adapt.choice import (
    budget_ms,
    choose,
    last_slopes,
    mnasnet_score,
    promising,
    slope,
    write_rows,
)
from mixnet_dense.adapt.clock import Clock, with_arch
from mixnet_dense.adapt.proposals import with_expansion
from mixnet_dense.adapt.table import read_table
from mixnet_dense.adapt.trial import Trial
from mixnet_dense.backbones import MixNet
from mixnet_dense.backbones.found import read_network
from mixnet_dense.benchmark.subjects import build_model
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError

S = MixNet("s").network


def row(step, proposal, place, ms, accuracy, chosen=False):
    what = f"{place} 16 to 8"
    return dict(step=step, proposal=proposal, place=place, what=what, latency_ms=ms,
                accuracy=accuracy, chosen=chosen, measured_ms=ms if chosen else None)  # fmt: skip


ROWS = [
    row(0, 0, "", 10.0, 0.40, chosen=True),
    row(1, 0, "a", 9.0, 0.38),  # -0.02 / 1 ms
    row(1, 1, "b", 8.0, 0.37, chosen=True),  # -0.03 / 2 ms: loses more, but saves more
    row(2, 0, "b", 7.5, 0.36),  # -0.01 / 0.5 ms
    row(2, 1, "c", 7.0, 0.36),  # -0.01 / 1 ms
]

# ----------------------------------------------------------------------- choices


def test_the_least_accuracy_for_a_millisecond_is_chosen():
    assert slope(ROWS[0], ROWS[1]) == pytest.approx(-0.02)
    assert slope(ROWS[0], ROWS[2]) == pytest.approx(-0.015)
    assert choose(ROWS) is ROWS[4]
    assert choose(ROWS[:1] + [row(1, n, "a", 9.0, 0.3) for n in (0, 1)])["proposal"] == 0


def test_the_score_of_mnasnet():
    assert mnasnet_score(ROWS[2], 8.0) == 0.37
    assert mnasnet_score(ROWS[0], 5.0) == pytest.approx(0.40 * 2**-0.15)


def test_places_never_tried_come_first_then_the_best():
    expected = {"a": -0.02, "b": -0.02, "c": -0.01}  # b as in step 2
    assert last_slopes(ROWS) == pytest.approx(expected)
    known = [
        ROWS[0],
        row(1, 0, "block 3: kernels", 9.0, 0.39, chosen=True),
        *(row(1, 1 + n, f"block {n}: expansion", 9.0, 0.1 * n) for n in range(15)),
    ]

    def ms(network):  # 9 now
        pairs = zip(S.blocks, network.blocks, strict=True)
        return 9 - sum(old.expansion - new.expansion for old, new in pairs) / 1000

    def found(count):
        return [place for place, _ in promising(known, S, ms, 8.999, count)]

    new = ["block 15: expansion", "bottleneck of stem, 0:"]
    best = [f"block {n}: expansion" for n in range(14, 0, -1)]
    assert found(1) == new and found(4) == new + best[:2] and found(0) == new + best


def test_budgets():
    assert budget_ms("8ms", 10) == 8 and budget_ms("70%", 10) == pytest.approx(7)
    for text in ("8", "8 s", "-1ms", "nan%", "0%", "ms"):
        with pytest.raises(InputError, match=f"--budget {text}: must be such as"):
            budget_ms(text, 10)
    with pytest.raises(InputError, match="takes 10.00 ms already"):
        budget_ms("100%", 10)


def test_all_that_was_tried_is_in_the_csv(tmp_path):
    write_rows(tmp_path / "p.csv", [*ROWS, row(3, 0, "d", 6.0, None)], 8.0)
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [(r["step"], r["slope"], r["chosen"]) for r in rows[:3]] == [
        ("0", "", "1"), ("1", "-0.02", "0"), ("1", "-0.015", "1"),
    ]  # fmt: skip
    assert len(rows) == 5 and rows[2]["mnasnet"] == "0.37"


# ------------------------------------------------------------------------ trials


def test_a_detector_is_scored_on_training_images_that_are_held_out(detector):
    from mixnet_dense.engine.config import open_model

    config = load_config(str(detector / "detector.py"))
    found, scores = Trial(config, steps=1, holdout=3), []
    assert len(found.held) == 3 and sorted(found.held + found.rest) == list(range(8))
    for _ in range(2):
        model = open_model(config, str(detector / "work"))
        found.train_steps(model, 5)
        scores.append((found.accuracy(model), model.backbone.stem.conv.weight.sum().item()))
    assert scores[0] == scores[1] and found.metric == "coco/bbox_mAP"
    for metric in found.evaluator.metrics:
        assert len(metric.img_ids) == 3
    with pytest.raises(InputError, match="--holdout 6: of 8 images 2 are left"):
        Trial(config, steps=1, holdout=6)


# ---------------------------------------------------------------------- searches


def test_a_table_is_timed_as_a_whole_beside_the_first(segmenter, tmp_path, monkeypatch):
    config = load_config(str(segmenter / "segmenter.py"))
    first = build_model(config).backbone.network
    smaller = with_expansion(first, 5, 8)
    file, where = tmp_path / "latency.csv", latency.here("eager", 1)
    speeds, timed = iter([{0: 8.0}, {0: 16.0, 1: 12.0}]), []

    def time_pieces(wanted, *_):
        timed.append(list(wanted))
        by_place = next(speeds)
        return {key: by_place[key not in timed[0]] for key in wanted}

    monkeypatch.setattr(latency, "time_pieces", time_pieces)
    clock = Clock(config, where, file, 1, (64, 64))
    assert [clock.whole(table) for table in (first, smaller, smaller)] == [8, 6, 6]
    assert len(timed) == 2 and sorted(read_table(file).values()) == [6, 8]
    again = Clock(config, where, file, 1, (64, 64))
    assert again.whole(smaller) == 6
    monkeypatch.setattr(latency, "predicted", of_three_blocks)
    sums = [
        of_three_blocks(build_model(with_arch(config, n)), *[None] * 4)[0] for n in (first, smaller)
    ]
    assert again.ms(first, smaller) == pytest.approx(6 * sums[0] / sums[1])


def of_three_blocks(model, size, where, table, repeats):
    """A latency that only three expansions and one bottleneck change."""
    blocks = model.backbone.network.blocks
    return sum(b.expansion for b in blocks[4:7]) / 10 + blocks[3].out_channels / 8, {}


@pytest.fixture
def search(segmenter, tmp_path, monkeypatch):
    """A function that runs the tool on the tiny segmenter in a folder by name."""
    monkeypatch.setattr(latency, "predicted", of_three_blocks)
    monkeypatch.setattr(latency, "is_here", lambda where: False)  # as of another device
    torch.set_num_threads(1)

    def run(name, *options, train=False):
        folder = tmp_path / name
        options = ("--budget", "82%", "--delta", 0.1, "--steps", 1, "--holdout", 3, *options)
        options += ("--size", 64, 64)
        given = () if train else ("--no-train",)
        command = (segmenter / "segmenter.py", segmenter / "work", "--work-dir", folder)
        tool("adapt")(*command, *options, *given)
        return json.loads((folder / "search/state.json").read_text())["rows"]

    return run


def test_what_is_found_is_a_config_that_trains(search, tmp_path, segmenter):
    rows = search("a", train=True)
    last = [r for r in rows if r["chosen"]][-1]
    target = 0.82 * rows[0]["latency_ms"]
    assert last["step"] >= 2 and last["latency_ms"] <= target < rows[0]["latency_ms"]
    network = read_network(tmp_path / "a/found.json")
    config = load_config(str(tmp_path / "a/found.py"))
    assert read_network(config.model.backbone.arch) == network
    assert len((tmp_path / "a/found.py").read_text().splitlines()) == 4
    assert config.load_from == str(tmp_path / "a/found.pth")
    meta = checkpoints.read(str(tmp_path / "a/found.pth"))[1]
    assert len(meta["dataset_meta"]["classes"]) == config.model.decode_head.num_classes
    for file in ("trained/epoch_2.pth", "proposals.csv", "proposals.png"):
        assert (tmp_path / "a" / file).is_file()
    history = json.loads((tmp_path / "a/found.json").read_text())["history"]
    assert [h["what"] for h in history] == [r["what"] for r in rows if r["chosen"]]
    assert {r["place"] for r in rows if r["step"] == 1} > {"block 5: expansion"}
    assert len({r["accuracy"] for r in rows}) > 3  # else the next tests show little


def test_stopped_and_resumed_it_makes_the_same_choices(search, monkeypatch):
    whole, original, count = search("a"), trial.Trial.accuracy, iter(range(100))

    def stops(self, model):
        if next(count) == 2:
            raise KeyboardInterrupt
        return original(self, model)

    monkeypatch.setattr(trial.Trial, "accuracy", stops)
    with pytest.raises(KeyboardInterrupt):
        search("b")
    assert search("b", "--resume") == whole and next(count) == len(whole) + 1
    with pytest.raises(InputError, match="state.json: is there already"):
        search("b")
    with pytest.raises(InputError, match="has steps 1, this search has 2"):
        search("b", "--resume", "--steps", 2)


def test_two_processes_make_the_choices_of_one(search):
    store = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)

    def one_of_two(rank):
        os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="localhost")
        os.environ.update(MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True")
        search("two", "--launcher", "pytorch")

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=one_of_two, args=(rank,)) for rank in "01"]
    for process in processes:
        process.start()
    one = search("one")
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert search("two", "--resume") == one


def test_what_cannot_be_reached_is_kept(search, tmp_path):
    with pytest.raises(InputError, match="--budget 3ms: not reached, no proposal saves enough aft"):
        search("a", "--budget", "3ms", "--delta", 0.3)
    assert read_network(tmp_path / "a/found.json") and (tmp_path / "a/found.py").is_file()
