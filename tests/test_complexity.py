import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import running
import torch
from torch import nn

from mixnet_dense.backbones import build_classifier
from mixnet_dense.complexity import analyse, measure
from mixnet_dense.costs import cells, report, zoo
from mixnet_dense.costs.printed import NO_READING, TABLES
from mixnet_dense.det import SSDLite
from mixnet_dense.errors import InputError

ROOT = Path(__file__).parents[1]
# Counted independently from the papers' tables, by formulas over the layers.
COSTS = list(csv.reader((Path(__file__).parent / "data" / "costs.csv").open()))[1:]
V1, V2 = dict(type="MobileNetV1"), dict(type="MobileNetV2", arch="detection")
MNAS, LARGE = dict(type="MnasNet", arch="detection"), dict(type="MobileNetV3", arch="large")
DETECTORS = {
    "SSDLite v1, 81 class slots, 320": (V1, 81),
    "SSDLite v2, 81 class slots, 320": (V2, 81),
    "SSDLite v2@.35, 91 class slots, 320": (V2 | dict(width=0.35), 91),
    "SSDLite mnas, 91 class slots, 320": (MNAS, 91),
    "SSDLite v3large, 91 class slots, 320": (LARGE, 91),
    "SSDLite v3large+, 91 class slots, 320": (LARGE | dict(reduced_tail="detection"), 91),
    "SSDLite v1 mix35, 81 class slots, 320": (V1 | dict(kernel_sizes=(3, 5)), 81),
    "SSDLite v2 5x5, 81 class slots, 320": (V2 | dict(kernel_sizes=(5,)), 81),
}


@pytest.mark.parametrize("row", COSTS, ids=[row[0] for row in COSTS])
def test_costs_are_exact(row):
    name, *expected = row
    if name in DETECTORS:
        backbone, slots = DETECTORS[name]
        backbone = backbone | dict(type=f"mixnet_dense.{backbone['type']}")
        model, shape = SSDLite(backbone, bbox_head=dict(num_classes=slots - 1)), (320, 320)
    else:
        network, width = name.split()
        model, shape = build_classifier(network, float(width)), (224, 224)
    found = analyse(model, shape)
    assert [*found.cost, found.profiled] == [int(value) for value in expected]


def test_counts_worked_by_hand():
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    model = nn.Sequential(conv, nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 8, 3, groups=8))
    # 3*8*9 + 8, 16, 8*9 + 8; outputs 5 x 5 and 3 x 3: 25*8*27 + 9*8*9
    assert measure(model, (9, 9)) == (320, 304, 6048)
    found = analyse(model, (9, 9))
    assert found.uncounted == {"native_batch_norm": 1, "hardswish": 1}
    # half of: biases 25*8 + 9*8, hard-swish 3*25*8
    assert found.profiled == 6048 + (272 + 600) // 2


def test_parts_add_up():
    found = analyse(build_classifier("mobilenetv3_small"), (224, 224))
    assert sum(part.macs for part in found.parts) == found.cost.macs
    assert sum(part.params for part in found.parts) == found.cost.params
    assert next(part for part in found.parts if part.name == "backbone.stem").macs == 112**2 * 432


def test_counting_leaves_the_model_alone():
    model = build_classifier("mixnet_s").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    measure(model, (33, 65))
    assert model.training and next(model.parameters()).device.type == "cpu"
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_parameter_used_twice_counts_once():
    conv = nn.Conv2d(4, 4, 1, bias=False)
    twice = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), conv, conv)
    # 3*4 + 4*4; on 5 x 5 pixels 25*(12 + 16 + 16)
    assert measure(twice, (5, 5)) == (28, 28, 1100)


@pytest.fixture(scope="module")
def printed():
    return cells.cells()


def test_every_printed_number_is_compared(printed):
    # 7 + 11 + 20 rows of two, 5 of four, 9 of two, 4 of five
    # and of tables 7 and 8: 11 rows of two, 4 of two
    assert len(printed) == 14 + 22 + 40 + 20 + 18 + 20 + 22 + 8 == 164
    assert {cell.table for cell in printed} == {*TABLES}
    names = {(cell.table, cell.row, cell.quantity) for cell in printed}
    assert len(names) == 164


def test_each_difference_and_nothing_else_has_a_reason(printed):
    assert [cell for cell in printed if bool(cell.why) == cell.agrees] == []
    assert {cell.why for cell in printed} >= NO_READING


def test_most_printed_numbers_agree(printed):
    assert sum(cell.agrees for cell in printed) == 128
    assert sum(cell.follows_no_reading for cell in printed) == 26
    others = [cell for cell in printed if not cell.agrees and not cell.follows_no_reading]
    assert len(others) == 10 and all(0.01 < -cell.difference < 0.03 for cell in others)
    assert report.headline(printed) == (
        "Of 164 printed numbers 128 agree to the printed digits or within 1 %, 26 follow no "
        "reading of the papers, 10 differ otherwise"
    )


def test_parameters_of_the_v3_segmenters_round_to_the_print(printed):
    found = [cell for cell in printed if cell.table == "MobileNetV3 table 7" and "V3" in cell.row]
    params = [cell for cell in found if cell.quantity == "params"]
    assert len(params) == 5 and all(cell.rounds for cell in params)


def test_a_table_whose_host_is_missing_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmseg", None)
    few = {name: TABLES[name] for name in ("MobileNetV3 table 7", "MixConv table 2")}
    monkeypatch.setattr(cells, "TABLES", few)
    found = cells.cells()
    assert {cell.table for cell in found} == {"MixConv table 2"}
    assert "MobileNetV3 table 7: left out, mmseg is not installed" in report.paper_text(found)


def test_a_cell_compares_with_the_printed_digits():
    def cell(value):
        return cells.Cell("t", "r", "params", "0.16", 1e9, value)

    assert cell(164_000_000).rounds and not cell(166_000_000).rounds
    assert cell(161_000_000).agrees and not cell(170_000_000).agrees
    assert cell(168_000_000).difference == pytest.approx(0.05)


def test_model_zoo_is_what_the_configs_say():
    document = (ROOT / "docs" / "model_zoo.md").read_text()
    assert zoo.with_tables(document, ROOT / "configs") == document, "run complexity.py --zoo"
    written = (ROOT / "configs" / "metafile.yml").read_text()
    assert zoo.metafile(ROOT / "configs") == written, "run complexity.py --zoo"
    for path in (ROOT / "configs").glob("*.py"):  # the others are a listed model's variants
        assert (
            path.stem.endswith(("_sample", "_pretrained", "_finetune"))
            or f"| [`{path.name}`]" in document
        )


def test_zoo_replaces_what_is_between_the_markers():
    text = "a\n<!-- zoo: raspp_mobilenetv2.py -->\nold\n<!-- end -->\nb"
    found = zoo.with_tables(text, ROOT / "configs").splitlines()
    assert found[:2] == ["a", "<!-- zoo: raspp_mobilenetv2.py -->"]
    assert found[4:] == [
        "| [`raspp_mobilenetv2.py`](../configs/raspp_mobilenetv2.py) | MobileNetV2, R-ASPP 256, "
        "output stride 16 | 2,113,043 | 2,079,955 | 21,233,054,912 | 72.84 mIoU on val "
        "(MobileNetV3 table 7, row 1) |",
        "<!-- end -->",
        "b",
    ]


def test_zoo_names_a_config_without_a_title(tmp_path):
    (tmp_path / "x.py").write_text("_base_ = []")
    with pytest.raises(InputError, match="x.py': must begin with '# MODEL: DATA.'"):
        zoo.title_and_figure(tmp_path / "x.py")


tool = running.tool("complexity")


def test_tool_prints_one_json_document(capsys):
    config = ROOT / "configs" / "ssdlite_mixnet.py"
    tool(config, "mixnet_s", "--json")
    detector, classifier = json.loads(capsys.readouterr().out)
    assert classifier == {
        "name": "mixnet_s", "shape": [224, 224],
        "params": 4134606, "params_without_norm": 4102414, "macs": 239173360,
    }  # fmt: skip
    assert detector["shape"] == [320, 320] and detector["name"] == str(config)
    tool("mixnet_s", "--json", "--stages")
    (classifier,) = json.loads(capsys.readouterr().out)
    assert sum(part["macs"] for part in classifier["stages"]) == 239173360
    assert classifier["uncounted"]["silu"] > 0 and classifier["profiled"] == 240718387
    tool("mixnet_s", "--shape", 97, 129, "--stages")
    text = capsys.readouterr().out
    assert "97 x 129" in text and "backbone.stem" in text and "not counted: " in text


def test_standard_output_is_json_alone():
    command = [sys.executable, ROOT / "tools" / "complexity.py", "--json", "mixnet_s"]
    command.append(ROOT / "configs" / "ssdlite_mixnet.py")
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [row["macs"] for row in json.loads(found.stdout)][0] == 239173360


def test_tool_prints_the_papers_tables(capsys, monkeypatch, printed):
    monkeypatch.setattr(cells, "cells", lambda: printed)
    tool("--paper-tables")
    text = capsys.readouterr().out
    assert all(f"{name}: {table.counted}" in text for name, table in TABLES.items())
    assert (
        "  V3-Large 1.0           macs   printed   219 M  ours  216.590   -1.10%  differs" in text
    )
    assert "10 differ otherwise" in text
    tool("--paper-tables", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "table": "MobileNetV3 table 3", "row": "V3-Large 1.0", "quantity": "params",
        "printed": 5.4e6, "ours": 5483032, "difference": 5483032 / 5.4e6 - 1, "agrees": False,
        "why": "printed digits look cut off, not rounded",
    }  # fmt: skip


def test_tool_names_what_is_wrong(tmp_path):
    for arguments in ((), ("mixnet_s", "--paper-tables"), ("--zoo", "--paper-tables")):
        with pytest.raises(InputError, match="configs or names"):
            tool(*arguments)
    with pytest.raises(InputError, match="neither a config nor one of mixnet_s"):
        tool("mixnet_x")
    with pytest.raises(InputError, match="--shape 0 4: must be 1 to"):
        tool("mixnet_s", "--shape", 0, 4)
    (tmp_path / "empty.py").write_text("a = 1")
    with pytest.raises(InputError, match="has no model"):
        report.model_row(str(tmp_path / "empty.py"))


def test_a_fault_in_a_users_own_model_passes_unchanged(tmp_path, monkeypatch):
    (tmp_path / "faulty_model.py").write_text(
        "from mixnet_dense.registry import MODELS\n\n\n"
        "@MODELS.register_module()\nclass FaultyModel:\n"
        "    def __init__(self):\n        {}['slip']\n"
    )
    config = tmp_path / "faulty.py"
    config.write_text(
        "custom_imports = dict(imports=['faulty_model'])\n"
        "model = dict(type='mixnet_dense.FaultyModel')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyError, match="slip"):
        tool(config)
    config.write_text(config.read_text().replace("Model')", "Model', wrong=1)"))
    with pytest.raises(InputError, match="faulty.py': TypeError: .*wrong"):
        tool(config)
