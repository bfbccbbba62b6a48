// The page: images from files or the camera, what the model finds in them, and the drawing of it.
import * as ort from "./ort.wasm.bundle.min.mjs";
import { networkInput } from "./input.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
const by = (id) => document.getElementById(id);
const options = {
  executionProviders: ["wasm"],
  extra: { session: { disable_quant_qdq: "1" } }, // as `readers.open_onnx` runs int8 files
};
const loaded = Promise.all([
  fetch("model.json").then((answer) => answer.json()),
  ort.InferenceSession.create("model.onnx", options),
]);
loaded.catch((error) => { by("state").textContent = `The model cannot be run: ${error.message}`; });
const [about, session] = await loaded;
const detects = about.task === "detection";
const colour = (label) => `rgb(${about.palette[label]})`;
const views = [];
let camera = null;

function pixels(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

function boxesOf(out, image, { wide, tall }) {
  const factors = [wide / image.width, tall / image.height];
  const [boxes, scores, labels] = ["boxes", "scores", "labels"].map((name) => out[name].data);
  return Array.from(scores.slice(0, about.max_per_img), (score, row) => {
    const box = Array.from(boxes.slice(4 * row, 4 * row + 4), (value, i) => value / factors[i % 2]);
    return { label: Number(labels[row]), score, box };
  });
}

// Class numbers (height, width) at the image's size, the nearest of the file's.
function labelsOf(out, image, { wide, tall, shape }) {
  const places = (old, count) => Array.from({ length: count }, (_, index) =>
    Math.min(Math.floor(Math.fround(index * Math.fround(old / count))), old - 1));
  const across = places(wide, image.width), map = new Uint8Array(image.width * image.height);
  places(tall, image.height).forEach((row, v) => across.forEach((column, h) => {
    map[v * image.width + h] = out.labels.data[row * shape[3] + column];
  }));
  return map;
}

async function run(image) {
  const begin = performance.now(), input = networkInput(pixels(image), about);
  const out = await session.run({ images: new ort.Tensor("float32", input.values, input.shape) });
  const found = detects ? { boxes: boxesOf(out, image, input) } : { map: labelsOf(out, image, input) };
  return { ...found, ms: performance.now() - begin };
}

let turn = Promise.resolve(); // a session runs one image at a time
export function find(image) {
  const mine = turn.then(() => run(image));
  turn = mine.catch(() => {});
  return mine;
}

function newView(name) {
  const view = { name, figure: by("view").content.firstElementChild.cloneNode(true) };
  by("views").prepend(view.figure);
  views.push(view);
  return view;
}

function drawBoxes(context, boxes, scale) {
  context.lineWidth = 3 * scale;
  context.font = `600 ${15 * scale}px system-ui, sans-serif`;
  for (const { label, score, box: [left, top, right, bottom] } of [...boxes].reverse()) {
    const text = `${about.classes[label]} ${score.toFixed(2)}`, [r, g, b] = about.palette[label];
    const wide = context.measureText(text).width + 8 * scale, tall = 20 * scale;
    const x = Math.max(0, Math.min(left, context.canvas.width - wide)), y = Math.max(top - tall, 0);
    context.strokeStyle = context.fillStyle = colour(label);
    context.strokeRect(left, top, right - left, bottom - top);
    context.fillRect(x, y, wide, tall);
    context.fillStyle = 0.3 * r + 0.6 * g + 0.1 * b > 140 ? "#000" : "#fff";
    context.fillText(text, x + 4 * scale, y + 15 * scale);
  }
}

// Colours the map and returns [class, share of the image] by decreasing share.
function drawMap(context, map) {
  const picture = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  const counts = new Map();
  map.forEach((label, at) => {
    counts.set(label, (counts.get(label) || 0) + 1);
    for (let c = 0; c < 3; c++) {
      picture.data[4 * at + c] = (picture.data[4 * at + c] + about.palette[label][c]) / 2;
    }
  });
  context.putImageData(picture, 0, 0);
  return [...counts].map(([label, count]) => [label, count / map.length]).sort((a, b) => b[1] - a[1]);
}

function draw({ name, figure, image, found }) {
  const canvas = figure.querySelector("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [image.width, image.height];
  context.drawImage(image, 0, 0);
  let rows;
  if (detects) {
    const boxes = found.boxes.filter((each) => each.score >= Number(by("threshold").value));
    drawBoxes(context, boxes, Math.max(1, canvas.width / canvas.clientWidth));
    rows = boxes.map(({ label, score }) => [label, score.toFixed(2)]);
  } else {
    rows = drawMap(context, found.map).map(([label, share]) => [label, `${(100 * share).toFixed(1)} %`]);
  }
  const list = rows.map(([label, text]) => {
    const item = document.createElement("span");
    item.style.borderColor = colour(label);
    item.textContent = `${about.classes[label]} ${text}`;
    return item;
  });
  const time = `${name}, ${image.width} x ${image.height}, ${found.ms.toFixed(0)} ms: `;
  figure.querySelector("figcaption").replaceChildren(time, ...(list.length ? list : ["nothing found"]));
}

export async function show(file) {
  const view = newView(file.name);
  try {
    const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    view.image = await createImageBitmap(file, exact);
    view.found = await find(view.image);
    draw(view);
  } catch (error) {
    view.figure.querySelector("figcaption").textContent = `${file.name}: ${error.message}`;
  }
  return view;
}

async function film() {
  if (camera) return stop();
  const video = document.createElement("video"), options = { width: { ideal: 640 } };
  let view;
  try {
    if (!navigator.mediaDevices) throw new Error("browsers allow it on https and localhost only");
    camera = await navigator.mediaDevices.getUserMedia({ video: options });
    by("camera").textContent = "Stop the camera";
    video.srcObject = camera;
    await video.play();
    view = newView("camera");
    while (camera) {
      const image = await createImageBitmap(video);
      const found = await find(image);
      view.image?.close();
      Object.assign(view, { image, found });
      draw(view);
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stop();
    by("state").textContent = `The camera cannot be used: ${error.message}`;
  }
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  by("camera").textContent = "Use the camera";
}

async function showAll(files) {
  for (const file of files) await show(file);
}

by("threshold").min = about.score_thr || 0;
by("threshold").addEventListener("input", () => {
  by("value").textContent = Number(by("threshold").value).toFixed(2);
  views.filter((view) => view.found).forEach(draw);
});
by("scores").hidden = !detects;
by("files").addEventListener("change", () => showAll(by("files").files));
by("camera").addEventListener("click", film);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  showAll(event.dataTransfer.files);
});
by("state").textContent = `${about.config.replace(/\.py$/, "")}, ${about.classes.length} classes.`;
by("controls").disabled = false;
