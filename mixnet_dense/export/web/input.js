// From the pixels of an image to the network's input: what `predictor.py` and `images.py` do in
// Python, operation by operation, so that both give the same numbers.

const f32 = Math.fround;

const even = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

// For each new pixel: its two old neighbours, and the weight of each. `clamped` is OpenCV's rule
// for columns; for rows it repeats the outermost ones.
function opencvPlaces(old, count, clamped) {
  const scale = 1 / (count / old);
  return Array.from({ length: count }, (_, index) => {
    const place = f32((index + 0.5) * scale - 0.5);
    let low = Math.floor(place), part = f32(place - low);
    if (clamped && (low < 0 || low >= old - 1)) part = 0;
    const inside = (at) => Math.min(Math.max(at, 0), old - 1);
    return [inside(low), inside(low + 1), even(f32(1 - part) * 2048), even(part * 2048)];
  });
}

function tensorflowPlaces(old, count) {
  return Array.from({ length: count }, (_, index) => {
    const place = f32(index * f32(old / count)), low = Math.floor(place), part = f32(place - low);
    return [low, Math.min(low + 1, old - 1), f32(1 - part), part];
  });
}

// How four neighbours become one value; x and y are rows of the places above. OpenCV computes in
// integers, and to half the size it takes the mean of four pixels.
const RESIZES = {
  Resize: {
    places: opencvPlaces,
    blend: (a, b, c, d, x, y) =>
      (((y[2] * ((a * x[2] + b * x[3]) >> 4)) >> 16) +
        ((y[3] * ((c * x[2] + d * x[3]) >> 4)) >> 16) + 2) >> 2,
    half: (a, b, c, d) => (a + b + c + d + 2) >> 2,
  },
  TensorFlowResize: {
    places: tensorflowPlaces,
    blend: (a, b, c, d, x, y) => {
      const left = f32(f32(a * y[2]) + f32(c * y[3])), right = f32(f32(b * y[2]) + f32(d * y[3]));
      return f32(f32(left * x[2]) + f32(right * x[3]));
    },
  },
};

// RGBA pixels stretched to three planes, red, green and blue, within planes of `columns` x `rows`.
export function resize({ data, width, height }, kind, wide, tall, columns, rows) {
  const { places, half } = RESIZES[kind];
  const halved = half && width === 2 * wide && height === 2 * tall;
  const blend = halved ? half : RESIZES[kind].blend;
  const across = places(width, wide, true), down = places(height, tall, false);
  const planes = [0, 1, 2].map(() => new Float32Array(columns * rows));
  for (let v = 0; v < tall; v++) {
    const y = down[v], top = y[0] * width, bottom = y[1] * width;
    for (let h = 0; h < wide; h++) {
      const x = across[h];
      for (let c = 0; c < 3; c++) {
        const at = (row, column) => data[4 * (row + column) + c];
        planes[c][v * columns + h] =
          blend(at(top, x[0]), at(top, x[1]), at(bottom, x[0]), at(bottom, x[1]), x, y);
      }
    }
  }
  return planes;
}

// [width, height] that an image is resized to: `Description.input_size`.
function inputSize(about, width, height) {
  if (about.keep_ratio) {
    const long = Math.max(...about.resized) / Math.max(width, height);
    const factor = Math.min(long, Math.min(...about.resized) / Math.min(width, height));
    return [width, height].map((side) => Math.floor(side * factor + 0.5));
  }
  if (about.height && !about.padded) return [about.width, about.height];
  return about.resized ? [about.resized[1], about.resized[0]] : [width, height];
}

// The input's values and shape, and the part of it, in pixels, that the image fills.
export function networkInput(image, about) {
  const [wide, tall] = inputSize(about, image.width, image.height);
  const [rows, columns] = (about.padded || [0, 0]).map((side, i) => Math.max(side, [tall, wide][i]));
  if (about.height && (about.height !== rows || about.width !== columns)) {
    const taken = `${about.width} x ${about.height}`;
    throw new Error(`is ${columns} x ${rows} pixels after resizing, the model takes ${taken}`);
  }
  const planes = resize(image, about.resize, wide, tall, columns, rows);
  if (about.preprocess || !about.bgr_to_rgb) planes.reverse();
  const values = new Float32Array(3 * rows * columns).fill(about.pad_value);
  planes.forEach((plane, channel) => {
    const mean = f32(about.mean[channel]), factor = f32(1 / f32(about.std[channel]));
    for (let v = 0; v < tall; v++) {
      for (let at = v * columns; at < v * columns + wide; at++) {
        values[channel * rows * columns + at] =
          about.preprocess ? plane[at] : f32(f32(plane[at] - mean) * factor);
      }
    }
  });
  return { values, shape: [1, 3, rows, columns], wide, tall };
}
