"""The recorders of tests/data that need no other library, and how a recording is written."""

from types import SimpleNamespace

import golden
import pytest
import torch
from recorders import costs, recording, state_dict_keys


@pytest.mark.parametrize("recorder", [costs, state_dict_keys])
def test_own_data_is_recorded_again(recorder, tmp_path):
    recorder.main(["--out", str(tmp_path)])
    (written,) = tmp_path.iterdir()
    assert written.read_text() == (golden.DATA / written.name).read_text()


def test_a_recording_is_read_as_it_was_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(golden, "DATA", tmp_path)
    library = SimpleNamespace(__name__="lib", __version__="1.2+cpu")
    conv = golden.fill(torch.nn.Conv2d(3, 2, 1))
    x = golden.image((1, 3, 4, 4)).double()
    out = conv(x).detach()
    recording.write(tmp_path, library, "conv", conv, x.shape, dict(out=out), dict(more=1))
    found = golden.record("lib_conv")
    assert out.dtype == torch.float64 and torch.equal(found["outputs"]["out"], out)
    assert (found["library"], found["input"], found["more"]) == ("lib 1.2", [1, 3, 4, 4], 1)
    assert found["keys"] == [["weight", [2, 3, 1, 1]], ["bias", [2]]]
    assert torch.equal(golden.state_dict("lib_conv")["bias"].double(), conv.bias)
    # written again from doubled outputs: |2 out - out| / |out| = 1
    recording.write(tmp_path, library, "conv", conv, x.shape, dict(out=2 * out))
    assert capsys.readouterr().out == "lib_conv: out new\nlib_conv: out 1.0e+00\n"
