import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import running
import torch
from mmengine.config import Config
from torch import nn

from mixnet_dense.backbones import MnasNet, MobileNetV1, MobileNetV2, MobileNetV3, build_classifier
from mixnet_dense.complexity import analyse, measure
from mixnet_dense.costs import paper_tables
from mixnet_dense.costs import report as cost_report
from mixnet_dense.errors import InputError

ROOT = Path(__file__).parents[1]
# Counted independently from the papers' tables, by formulas over the layers.
COSTS = list(csv.reader((Path(__file__).parent / "data" / "costs.csv").open()))[1:]
DETECTORS = {
    "SSDLite v1, 81 class slots, 320": (MobileNetV1, {}, 81),
    "SSDLite v2, 81 class slots, 320": (MobileNetV2, dict(arch="detection"), 81),
    "SSDLite v2@.35, 91 class slots, 320": (MobileNetV2, dict(arch="detection", width=0.35), 91),
    "SSDLite mnas, 91 class slots, 320": (MnasNet, dict(arch="detection"), 91),
    "SSDLite v3large, 91 class slots, 320": (MobileNetV3, {}, 91),
    "SSDLite v3large+, 91 class slots, 320": (MobileNetV3, dict(reduced_tail="detection"), 91),
    "SSDLite v1 mix35, 81 class slots, 320": (MobileNetV1, dict(kernel_sizes=(3, 5)), 81),
    "SSDLite v2 5x5, 81 class slots, 320": (
        MobileNetV2,
        dict(arch="detection", kernel_sizes=(5,)),
        81,
    ),
}


@pytest.mark.parametrize("row", COSTS, ids=[row[0] for row in COSTS])
def test_costs_are_exact(row):
    name, *expected = row
    if name in DETECTORS:
        kind, options, slots = DETECTORS[name]
        width = options.get("width", 1.0)
        model, shape = paper_tables.build_ssdlite(kind(**options), slots - 1, width), (320, 320)
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


def test_printed_cells_agree():
    found = list(paper_tables.cells())
    # 7 + 11 + 20 rows of two, 5 of four, 9 of two, 4 of five
    # and of tables 7 and 8: 11 rows of two, 4 of two
    assert len(found) == 14 + 22 + 40 + 20 + 18 + 20 + 22 + 8
    wrong = [cell for cell in found if cell.reachable and not cell.agrees]
    reachable = sum(cell.reachable for cell in found)
    assert reachable == 102 + 26 and len(wrong) <= 0.05 * reachable, wrong
    assert all(cell.why for cell in wrong)
    assert set(cell.table for cell in found) == set(paper_tables.CONVENTIONS)


def test_segmentation_cells_agree():
    tables = ("MobileNetV3 table 7", "MobileNetV3 table 8")
    found = [cell for cell in paper_tables.cells() if cell.table in tables]
    v3 = [cell for cell in found if cell.quantity == "params" and "V3" in cell.row]
    assert len(v3) == 5 and all(cell.rounds for cell in v3)
    macs = [cell for cell in found if cell.quantity == "macs"]
    # 0.53 is printed for the last: ours is 5.5 % below it, and 0.527 as the paper counts
    assert [cell.row for cell in macs if not cell.agrees] == ["V3-Small OS32 h"]
    assert all(abs(cell.profiled / (float(cell.printed) * 1e9) - 1) < 0.007 for cell in macs)


def test_a_table_whose_host_is_missing_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmseg", None)
    rows = cost_report.paper_rows()
    tables = {row.cell.table for row in rows}
    assert tables == set(paper_tables.CONVENTIONS) - {"MobileNetV3 table 7", "MobileNetV3 table 8"}
    assert "MobileNetV3 table 7: left out, mmseg is not installed" in cost_report.paper_text(rows)


def test_a_cell_compares_with_the_printed_digits():
    def cell(value):
        return paper_tables.Cell("t", "r", "params", "0.16", 1e9, value)

    assert cell(164_000_000).rounds and not cell(166_000_000).rounds
    assert cell(161_000_000).agrees and not cell(170_000_000).agrees
    assert cell(168_000_000).difference == pytest.approx(0.05)


SSDLITE = sorted(path.stem for path in (ROOT / "configs").glob("ssdlite_mobilenetv*.py"))


@pytest.mark.parametrize("name", SSDLITE)
def test_configs_are_the_networks_of_the_tables(name):
    config = Config.fromfile(ROOT / "configs" / f"{name}.py")
    backbone = dict(config.model.backbone)
    kind = getattr(paper_tables.networks, backbone.pop("type").partition(".")[2])
    model = paper_tables.build_ssdlite(kind(**backbone), 80, backbone.get("width", 1.0))
    neck, head = config.model.neck, config.model.bbox_head
    widths = tuple(conv[-1].in_channels for conv in model.bbox_head.cls_convs)
    assert tuple(head.in_channels) == widths
    assert (*neck.in_channels, *neck.extra_channels) == widths


ZOO = re.findall(
    r"^\| \[`(\w+)\.py`\].*?\| ([\d,]+,\d+) \| ([\d,]+) \| ([\d,]+) \|",
    (ROOT / "docs" / "model_zoo.md").read_text(),
    re.MULTILINE,
)


# The others are a listed model with other data or initial weights.
LISTED = {
    path.stem
    for path in (ROOT / "configs").glob("*.py")
    if not path.stem.endswith(("_sample", "_pretrained"))
}


def test_model_zoo_lists_every_config():
    assert {name for name, *_ in ZOO} == LISTED


@pytest.mark.parametrize("row", ZOO, ids=[row[0] for row in ZOO])
def test_model_zoo_has_the_exact_costs(row):
    name, *printed = row
    cost = cost_report.model_row(str(ROOT / "configs" / f"{name}.py")).analysis.cost
    assert list(cost) == [int(number.replace(",", "")) for number in printed]


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


def test_tool_prints_the_papers_tables(capsys):
    tool("--paper-tables")
    text = capsys.readouterr().out
    assert all(f"{table}: {how}" in text for table, how in paper_tables.CONVENTIONS.items())
    assert "printed cells agree" in text


def test_tool_names_what_is_wrong(tmp_path):
    for arguments in ((), ("mixnet_s", "--paper-tables")):
        with pytest.raises(InputError, match="configs or names"):
            tool(*arguments)
    with pytest.raises(InputError, match="neither a config file nor one of mixnet_s"):
        tool("mixnet_x")
    with pytest.raises(InputError, match="must be positive"):
        tool("mixnet_s", "--shape", 0, 4)
    (tmp_path / "empty.py").write_text("a = 1")
    with pytest.raises(InputError, match="has no model"):
        cost_report.model_row(str(tmp_path / "empty.py"))
