"""The web page in headless Chromium finds what Python finds: `make test-browser`.

A trained detector is npm's package of `test_real_tensorflow`, the runtime npm's onnxruntime-web.
"""

import json
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import cv2
import numpy as np
import pytest
import skimage.data
from running import ROOT, tool
from test_browser import CHROMIUM
from test_real_tensorflow import fetched, graph, weights  # noqa: F401  (fixtures)

from mixnet_dense.export import demo_page, load
from mixnet_dense.images import RESIZES

pytestmark = pytest.mark.browser
ANY_SIZE = ("--dynamic", "--size", "192", "192")
TELL = """
const tell = (what) => fetch("told", { method: "POST", body: JSON.stringify(what) });
addEventListener("error", (event) => tell({ error: String(event.message) }));
addEventListener("unhandledrejection", (event) => tell({ error: String(event.reason) }));
"""
# Gives a photograph to the page as a user does, and tells what it found there.
SHOW = """
import { show } from "./page.js";
const file = new File([await (await fetch("photo.png")).blob()], "photo.png");
const { found, figure } = await show(file);
tell({ boxes: found.boxes, map: found.map && [...found.map], ms: found.ms,
  caption: figure.textContent, state: document.getElementById("state").textContent });
"""
# Uses the page's own controls: the input for files, the slider, and the camera, twice.
USE = """
import "./page.js";
const by = (id) => document.getElementById(id);
const wait = (ms) => new Promise((go) => setTimeout(go, ms));
const captions = () => [...document.querySelectorAll("figcaption")].map((each) => each.textContent);
const until = async (test) => { while (!test()) await wait(20); return captions(); };
const files = new DataTransfer();
files.items.add(new File([await (await fetch("photo.png")).blob()], "photo.png"));
files.items.add(new File(["no image"], "bad.png"));
by("files").files = files.files;
by("files").dispatchEvent(new Event("change"));
const all = await until(() => captions().length === 2 && !captions().includes("…"));
by("threshold").value = 1;
by("threshold").dispatchEvent(new Event("input"));
const none = captions();
by("camera").click();
const film = await until(() => captions().length === 3 && captions()[0] !== "…");
const first = captions()[0];
await until(() => captions()[0] !== first);
by("camera").click();
tell({ all, none, film, button: by("camera").textContent });
"""
# Resizes grey steps made by the rule of `test_images_are_resized_as_in_python`.
RESIZE = """
import { resize } from "./input.js";
const told = [];
for (const [kind, width, height, wide, tall] of SIZES) {
  const grey = (_, at) => (at * at * 7919 + at) % 251;
  const data = Uint8ClampedArray.from({ length: 4 * width * height }, grey);
  const planes = resize({ data, width, height }, kind, wide, tall, wide, tall);
  told.push(planes.map((plane) => [...plane]));
}
tell(told);
"""

# Asks another server for something.
LEAVE = """
addEventListener("securitypolicyviolation", (event) => tell({ refused: event.blockedURI }));
fetch("http://127.0.0.1:9/x").catch(() => {});
"""


class Handler(SimpleHTTPRequestHandler):
    """Python's http.server; the test's script is at the end of the page and can tell something."""

    def __init__(self, *arguments, script: str, told: Queue, asked: list, **options):
        self.script, self.told, self.asked = script, told, asked
        super().__init__(*arguments, **options)

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/test.js":
            return self.answer(f"{TELL}{self.script}".encode(), "text/javascript")
        if self.path == "/":
            page = Path(self.directory, "index.html").read_bytes()
            return self.answer(page + b'<script type="module" src="test.js"></script>', "text/html")
        return super().do_GET()

    def do_POST(self):
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"", "text/plain")

    def answer(self, content: bytes, kind: str):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def opened(page, script, tmp_path, complains=False):
    """What the script tells within the page, and the files that the page asked for.

    The browser's console must be empty, or not if it ``complains``.
    """
    if not CHROMIUM:
        pytest.skip("no Chromium is installed: apt install chromium")
    told, asked = Queue(), []
    handler = partial(Handler, directory=page, script=script, told=told, asked=asked)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    place = (f"--user-data-dir={tmp_path / 'profile'}", f"http://127.0.0.1:{server.server_port}/")
    log = open(tmp_path / "log", "w")
    browser = subprocess.Popen([CHROMIUM, *options, *camera, *place], stdout=log, stderr=log)
    try:
        found = told.get(timeout=120)
    finally:
        browser.terminate()
        browser.wait()
        log.close()
        server.shutdown()
        server.server_close()
    console = [line for line in (tmp_path / "log").read_text().splitlines() if "CONSOLE" in line]
    assert bool(console) == complains and "error" not in found, (console, found)
    return found, asked


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Exports a model and writes its page; gives the folder and the file."""
    pytest.importorskip("onnxruntime", reason="make test-browser installs it")
    runtime = fetched(demo_page._ARCHIVE, ["npm", "pack", demo_page.PACKAGE])

    def make(config, checkpoint, *arguments):
        folder = tmp_path_factory.mktemp("page")
        file = folder / "model.onnx"
        cv2.imwrite(str(folder / "photo.png"), skimage.data.chelsea()[..., ::-1])
        given = ("--images", folder / "photo.png", "--end-to-end", *arguments)
        tool("export")(config, checkpoint, "--format", "onnx", "--out", file, *given)
        tool("demo_page")(file, "--out", folder / "page", "--runtime", runtime)
        shutil.copy(folder / "photo.png", folder / "page")
        return folder / "page", str(file)

    return make


@pytest.fixture(scope="module")
def trained(page, weights):  # noqa: F811
    return page(ROOT / "configs/ssdlite_mobilenetv2_tf.py", weights)


def same_boxes(told, file, photo):
    """Compares boxes, within 0.01 pixels, and scores, within 1e-4, one by one."""
    expected = load(file)(cv2.imread(str(photo)))
    found = told["boxes"]
    assert len(found) == len(expected.scores) > 3
    assert [box["label"] for box in found] == expected.labels.tolist()
    score = np.abs([box["score"] for box in found] - expected.scores.numpy()).max()
    pixels = np.abs([box["box"] for box in found] - expected.bboxes.numpy()).max()
    print(f"{len(found)} boxes: {score:.1e} in scores, {pixels:.1e} pixels, {told['ms']:.0f} ms")
    assert score < 1e-4 and pixels < 0.01


def test_a_trained_detector_finds_the_cat_as_in_python(trained, tmp_path):
    folder, file = trained
    told, asked = opened(folder, SHOW, tmp_path)
    same_boxes(told, file, folder / "photo.png")
    assert "photo.png, 451 x 300, " in told["caption"] and "cat 0.9" in told["caption"]
    assert told["state"] == "ssdlite_mobilenetv2_tf, 90 classes."
    ours = {file.name for file in folder.iterdir()}
    assert {path.strip("/") or "index.html" for path in asked} <= {*ours, "test.js"}


def test_the_page_s_controls(trained, tmp_path):
    told, _ = opened(trained[0], USE, tmp_path)
    bad, photo = told["all"]
    assert "cat 0.9" in photo and bad.startswith("bad.png: ")
    assert told["none"][1].endswith(" ms: nothing found")
    assert told["film"][0].startswith("camera, 640 x 480, ")
    assert told["button"] == "Use the camera"


def test_the_browser_lets_the_page_ask_no_other_server(trained, tmp_path):
    told, _ = opened(trained[0], LEAVE, tmp_path, complains=True)
    assert told == {"refused": "http://127.0.0.1:9/x"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--preprocess",),
        (*ANY_SIZE, "--cfg-options", "test_dataloader.dataset.pipeline.1.keep_ratio=True"),
    ],
)
def test_a_detector_in_opencv_s_size(page, detector, tmp_path, arguments):
    folder, file = page(detector / "detector.py", detector / "work", *arguments)
    same_boxes(opened(folder, SHOW, tmp_path)[0], file, folder / "photo.png")


@pytest.mark.parametrize(
    "arguments",
    [
        (*ANY_SIZE, "--preprocess"),
        ("--cfg-options", "model.data_preprocessor.test_cfg={'size':(320,480)}"),  # padded
    ],
)
def test_a_segmenter_gives_the_map_of_python(page, segmenter, tmp_path, arguments):
    folder, file = page(segmenter / "segmenter.py", segmenter / "work", *arguments)
    told, _ = opened(folder, SHOW, tmp_path)
    expected = load(file)(cv2.imread(str(folder / "photo.png"))).numpy()
    share = (np.reshape(told["map"], expected.shape) != expected).mean()
    assert len(np.unique(expected)) > 1 and share < 1e-3


def test_images_are_resized_as_in_python(page, trained, tmp_path):
    sizes = [
        (kind, *size)
        for kind in RESIZES
        for size in [
            (40, 30, 20, 15), (41, 31, 20, 15), (40, 30, 20, 16), (13, 50, 64, 48), (7, 5, 7, 5),
            (1, 1, 3, 2), (90, 60, 30, 20), (9, 300, 192, 192), (451, 300, 300, 300), (2, 3, 1, 1),
        ]
    ]  # fmt: skip
    told, _ = opened(trained[0], RESIZE.replace("SIZES", json.dumps(sizes)), tmp_path)
    for (kind, width, height, wide, tall), planes in zip(sizes, told, strict=True):
        at = np.arange(4 * width * height)
        image = ((at * at * 7919 + at) % 251).astype(np.uint8).reshape(height, width, 4)[..., :3]
        expected = RESIZES[kind](np.ascontiguousarray(image), wide, tall).transpose(2, 0, 1)
        assert np.array_equal(np.reshape(planes, expected.shape), expected), (kind, width, wide)
