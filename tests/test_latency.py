"""Latency of a table: pieces that add up to the model, and the table as a file."""

import json

import pytest
import torch
from running import TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense.adapt import latency
from mixnet_dense.adapt.latency import COLUMNS, Where, pieces, predicted, read_table, write_table
from mixnet_dense.benchmark.subjects import build
from mixnet_dense.errors import InputError

PHONE = Where("tflite", 1, "a phone")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("latency") / "seg.py"
    file.write_text(TINY_SEGMENTER)
    return build(str(file)).eval()


def test_the_pieces_are_the_whole_model(model):
    body, parts = model.backbone, pieces(model, (64, 96))
    flat = [piece for listed in parts.values() for piece in listed]
    assert len(flat) == len(body.blocks) + 3  # stem, last, head
    assert ("stem 8 HSwish", "64x96") in parts
    inside = [name for name, size in parts if name.startswith("block") and size == "8x12"]
    assert inside[0].startswith("block 8-") and " stride 1 " in inside[0]
    (head,) = [listed for (name, _), listed in parts.items() if name.startswith("LRASPPHead")]
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        taps, (own,) = body(images), latency.whole(model, (64, 96))(images)
        joined = torch.cat([tap.flatten(1) for tap in taps], 1)
        torch.testing.assert_close(head[0](joined)[0], own, rtol=1e-4, atol=1e-4)


def test_a_table_from_another_device_is_summed_and_nothing_is_measured(model):
    parts = pieces(model, (64, 96))
    table = {PHONE.key(*latency.CALL): 0.5} | {PHONE.key(*name): 2.0 for name in parts}
    total, new = predicted(model, (64, 96), PHONE, table, repeats=1)
    # the call of the runtime is in each of the pieces, and once in the whole
    assert total == 0.5 + 1.5 * (len(model.backbone.blocks) + 3) and not new
    table.popitem()
    with pytest.raises(InputError, match="LRASPPHead.*one of 1 that 'a phone' must bring"):
        predicted(model, (64, 96), PHONE, table, repeats=1)


def test_a_table_is_written_and_read_back(tmp_path):
    table = {PHONE.key("block 8-16-8, odd", "8x8"): 1.25}
    write_table(tmp_path / "t.csv", table)
    assert read_table(tmp_path / "t.csv") == table and read_table(tmp_path / "none.csv") == {}


@pytest.mark.parametrize(
    "row", ["a,8x8,1,eager,x,-1", "a,8x8,1,eager,x,no", "a,1", "a,b,c,d,e,nan"]
)
def test_a_bad_row_is_one_line(row, tmp_path):
    (tmp_path / "t.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n")
    with pytest.raises(InputError, match="t.csv: row 1: must have piece, size"):
        read_table(tmp_path / "t.csv")


def test_the_tool_measures_once_and_then_reads_its_table(tmp_path, capfd):
    config = tmp_path / "det.py"
    config.write_text(TINY_DETECTOR)
    options = ("--size", 64, 64, "--repeats", 1, "--table", tmp_path / "t.csv", "--json")
    found = []
    for _ in range(2):
        tool("latency")(config, *options)
        found.append(json.loads(capfd.readouterr().out))
    assert found[0]["predicted_ms"] == pytest.approx(found[1]["predicted_ms"], rel=1e-4)
    assert len(read_table(tmp_path / "t.csv")) >= 14
    assert found[0]["error"] == pytest.approx(
        found[0]["predicted_ms"] / found[0]["measured_ms"] - 1
    )
