"""Reports opened in headless Chromium: `make test-browser`."""

import json
import re
import shutil
import subprocess

import pytest
from running import tool

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
POLICY = "default-src 'none'; "
# What the page is like once all is loaded, put where --dump-dom shows it. A picture within SVG
# does not say whether it was loaded, so that one outside is made of it.
LOOK = """<script>
for (const each of document.querySelectorAll("image")) {
  const twin = document.createElement("img");
  twin.style.display = "none";
  twin.src = each.getAttribute("href");
  document.body.append(twin);
}
addEventListener("load", () => {
  const pictures = [...document.images];
  const found = {
    pictures: pictures.length,
    broken: pictures.filter((each) => !each.complete || !each.naturalWidth).length,
    width: Math.max(...[...document.querySelectorAll("h1, h2, p, svg, img, .tiles, .wide")]
      .map((each) => each.getBoundingClientRect().right)),
    requests: performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:")),
  };
  document.body.innerHTML = "<pre>" + JSON.stringify(found) + "</pre>";
})</script>"""


def opened(page, width, tmp_path):
    """What `LOOK` sees of a page, and the lines of the browser's console."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed: apt install chromium")
    text = page.read_text()
    assert POLICY in text
    seen = tmp_path / "seen.html"  # the same page, but this one script may run
    narrow = f"<style>html {{ width: {width}px }}</style>"  # no window is below 500 pixels
    seen.write_text(text.replace(POLICY, POLICY + "script-src 'unsafe-inline'; ") + narrow + LOOK)
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    where = (f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},2000")
    command = (
        CHROMIUM,
        *options,
        *where,
        "--virtual-time-budget=20000",
        "--dump-dom",
        seen.as_uri(),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(re.search("<pre>({.*})</pre>", done.stdout)[1])
    return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def pages(report, segmenter, tmp_path_factory):
    """Pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    arguments = (segmenter / "segmenter.py", segmenter / "work", "--work-dir", folder / "log")
    tool("test")(*arguments, "--report", folder / "maps")
    other = shutil.copytree(report / "report", folder / "other")
    rows = json.loads((other / "images.json").read_text())
    for row in rows["images"]:
        row["score"] += 0.1
    (other / "images.json").write_text(json.dumps(rows))
    tool("compare")(report / "report", other, "--out", folder / "compare.html")
    return dict(
        detector=report / "report/index.html",
        segmenter=folder / "maps/index.html",
        compared=folder / "compare.html",
    )


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize(("name", "least"), [("detector", 9), ("segmenter", 18), ("compared", 4)])
def test_a_page_loads_without_a_complaint(pages, tmp_path, name, least, width):
    found, console = opened(pages[name], width, tmp_path)
    assert console == []
    assert found["pictures"] >= least and found["broken"] == 0
    assert found["requests"] == []
    assert width / 2 < found["width"] <= width  # nothing is cut off at the side


def test_what_leaves_the_page_or_does_not_load_is_noticed(pages, tmp_path):
    page = tmp_path / "page.html"
    bad = '<img src="http://127.0.0.1:9/x.png"><img src="data:image/png;base64,AAAA">'
    page.write_text(pages["detector"].read_text().replace("</body>", bad + "</body>"))
    found, console = opened(page, 400, tmp_path)
    assert found["broken"] == 2 and len(console) >= 1
    assert all("127.0.0.1:9/x.png" in line for line in console)
