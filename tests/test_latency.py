"""Latency of a table: pieces that add up to the model, and the table as a file."""

import json

import pytest
import torch
from running import TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense.adapt import latency, names
from mixnet_dense.adapt.latency import Where, pieces, predicted
from mixnet_dense.adapt.table import COLUMNS, read_table, write_table
from mixnet_dense.benchmark.subjects import build
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse

PHONE = Where("tflite", 1, "a phone")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("latency") / "seg.py"
    file.write_text(TINY_SEGMENTER)
    return build(str(file)).eval()


def test_each_part_is_in_two_pairs_and_taken_off_once(model):
    body, parts = model.backbone, pieces(model, (64, 96))
    counts = {name: times for (name, _), (_, times) in parts.items()}
    assert sum(times for times in counts.values() if times > 0) == len(body.blocks) + 2
    assert sum(times for times in counts.values() if times < 0) == -len(body.blocks) - 1
    first = names.block(body, 0)
    assert counts[f"stem 8 HSwish + {first}"] == 1 and counts[first] == -1
    size = next(size for (name, size) in parts if name.startswith("stem"))
    assert size == "64x96"


def test_a_pair_computes_what_the_network_does(model):
    """From the stem to the head, each piece from the maps of the pieces before it."""
    body, parts = fuse(model).backbone, pieces(model, (64, 96))
    images = torch.randn(1, 3, 64, 96)
    name, size = next((n, s) for n, s in parts if " + LRASPPHead" in n)
    with torch.no_grad():
        taps, (own,) = body(images), latency.whole(model, (64, 96))(images)
        x = body.stem(images)
        (pair,) = [piece for (n, _), (piece, _) in parts.items() if n.startswith("stem")]
        torch.testing.assert_close(pair(images), body.blocks[0](x)[-1], rtol=1e-4, atol=1e-4)
        for block in body.blocks:
            x = block(x)[-1]
        joined = torch.cat([taps[0].flatten(1), x.flatten(1)], 1)
        found = parts[name, size][0](joined)[0]
    torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)


@pytest.mark.export
@pytest.mark.parametrize("runtime", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize(("text", "maps"), [(TINY_SEGMENTER, 1), (TINY_DETECTOR, 12)])
def test_a_runtime_computes_the_pieces_and_the_whole(text, maps, runtime, tmp_path):
    """The last piece from two maps, joined to one input."""
    (tmp_path / "c.py").write_text(text)
    model, where = build(str(tmp_path / "c.py")).eval(), latency.here(runtime, 1)
    parts = pieces(model, (64, 96))
    inputs = [piece for piece, _ in parts.values()]
    for piece in (*inputs, latency.whole(model, (64, 96))):
        found = latency.runner(piece, where)()
        with torch.no_grad():
            expected = latency._flat(piece(piece.sample))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-3, atol=1e-3)
    assert len(found) == maps and len(inputs[-1].shapes) == 2
    table = dict.fromkeys(where.key(*name) for name in parts)
    key, _ = table.popitem()
    assert [*predicted(model, (64, 96), where, dict.fromkeys(table, 1.0), 1)[1]] == [key]


def test_a_table_from_another_device_is_summed_and_nothing_is_measured(model):
    parts = pieces(model, (64, 96))
    table = {PHONE.key(*name): 2.0 if times > 0 else 1.5 for name, (_, times) in parts.items()}
    total, new = predicted(model, (64, 96), PHONE, table, repeats=1)
    # n blocks: n + 2 pairs, and n + 1 parts that are in two of them
    blocks = len(model.backbone.blocks)
    assert total == 2 * (blocks + 2) - 1.5 * (blocks + 1) and not new
    table.popitem()
    with pytest.raises(InputError, match="LRASPPHead.* 1 that 'a phone' must bring.* rows of 1 th"):
        predicted(model, (64, 96), PHONE, table, repeats=1)


def test_a_new_piece_is_scaled_as_those_that_the_table_has(model, monkeypatch):
    """A processor that is half as fast as when the table was made."""
    where = latency.here("eager", 1)
    keys = [where.key(*name) for name in pieces(model, (64, 96))]
    table = {key: 1 + index / 100 for index, key in enumerate(keys[:-2])}
    speeds = {**{key: 2 * ms for key, ms in table.items()}, keys[-2]: 5.0, keys[-1]: 3.0}
    monkeypatch.setattr(
        latency, "time_pieces", lambda wanted, *_: {key: speeds[key] for key in wanted}
    )
    _, new = predicted(model, (64, 96), where, table, repeats=1)
    assert new == pytest.approx({keys[-2]: 2.5, keys[-1]: 1.5})
    _, new = predicted(model, (64, 96), where, {}, repeats=1)
    assert new[keys[-1]] == 3.0


def test_a_table_is_written_and_read_back(tmp_path):
    table = {PHONE.key("block 8-16-8, odd", "8x8"): 1.25}
    write_table(tmp_path / "t.csv", table)
    assert read_table(tmp_path / "t.csv") == table and read_table(tmp_path / "none.csv") == {}
    (tmp_path / "t.csv").write_text("\ufeff" + (tmp_path / "t.csv").read_text(), "utf-8")
    assert read_table(tmp_path / "t.csv") == table


@pytest.mark.parametrize(
    "row", ["a,8x8,1,eager,x,-1", "a,8x8,1,eager,x,no", "a,1", "a,b,c,d,e,nan"]
)
def test_a_bad_row_is_one_line(row, tmp_path):
    (tmp_path / "t.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n")
    with pytest.raises(InputError, match="t.csv: row 1: must have piece, size"):
        read_table(tmp_path / "t.csv")


def test_a_piece_that_is_there_twice_is_one_line(tmp_path):
    rows = ["a,8x8,1,eager,x,2"] * 2 + ["a,8x8,2,eager,x,3", "a,8x8,1,eager,x,4"]
    (tmp_path / "t.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    with pytest.raises(InputError, match="t.csv: row 4: is there already, with other ms"):
        read_table(tmp_path / "t.csv")


def test_this_machine_by_its_name_is_this_machine():
    own = latency.here("eager", 1)
    assert latency.here("eager", 1, own.device) == own
    with pytest.raises(InputError, match="--runtime coreml: must be one of eager, onnx"):
        latency.here("coreml", 1, own.device)


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
