// From a photograph to the model's input, equal to the training's: the same crop, the same antialiased bicubic resize in
// the same fixed-point arithmetic as Pillow (Resample.c), so the same decoded pixels give the same bytes.

const PRECISION_BITS = 22; // Pillow: 32 - 8 - 2

/** The centre crop {left, top, side} of a width x height picture. */
export function cropBox(width, height, { resolution_px, crop_padding_px }) {
  const shorter = Math.min(width, height);
  const side = Math.max(1, Math.floor((shorter * resolution_px) / (resolution_px + crop_padding_px)));
  return { left: (width - side + 1) >> 1, top: (height - side + 1) >> 1, side };
}

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function bilinear(x) {
  x = Math.abs(x);
  return x < 1 ? 1 - x : 0;
}

const FILTERS = { bicubic: [bicubic, 2], bilinear: [bilinear, 1] };

/** Pillow's precompute_coeffs: for each output position the first input position and its fixed-point weights. */
function coefficients(inSize, outSize, interpolation) {
  const [filter, radius] = FILTERS[interpolation];
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = radius * filterScale;
  const found = [];
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(end - first);
    let total = 0;
    for (let i = 0; i < weights.length; i++) {
      weights[i] = filter((i + first - centre + 0.5) * (1 / filterScale));
      total += weights[i];
    }
    const fixed = new Int32Array(weights.length);
    for (let i = 0; i < weights.length; i++) {
      const share = (total === 0 ? weights[i] : weights[i] / total) * (1 << PRECISION_BITS);
      fixed[i] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    }
    found.push({ first, fixed });
  }
  return found;
}

function clip8(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * Resizes a square of `stride`-channel bytes (3: RGB, 4: RGBA, alpha ignored) to size x size RGB bytes.
 * Horizontal pass first, rounded to bytes, then vertical: Pillow's order.
 */
export function resize(pixels, side, stride, size, interpolation) {
  const weights = side === size ? null : coefficients(side, size, interpolation);
  const across = new Uint8ClampedArray(side * size * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < size; x++) {
      const to = (y * size + x) * 3;
      if (weights === null) {
        const from = (y * side + x) * stride;
        for (let c = 0; c < 3; c++) across[to + c] = pixels[from + c];
        continue;
      }
      const { first, fixed } = weights[x];
      let r = 1 << (PRECISION_BITS - 1), g = r, b = r;
      let from = (y * side + first) * stride;
      for (let i = 0; i < fixed.length; i++, from += stride) {
        const w = fixed[i];
        r += pixels[from] * w;
        g += pixels[from + 1] * w;
        b += pixels[from + 2] * w;
      }
      across[to] = clip8(r);
      across[to + 1] = clip8(g);
      across[to + 2] = clip8(b);
    }
  }
  if (weights === null) return new Uint8Array(across.buffer);
  const result = new Uint8Array(size * size * 3);
  const row = size * 3;
  for (let y = 0; y < size; y++) {
    const { first, fixed } = weights[y];
    for (let x = 0; x < row; x++) {
      let sum = 1 << (PRECISION_BITS - 1);
      for (let i = 0; i < fixed.length; i++) sum += across[(first + i) * row + x] * fixed[i];
      result[y * row + x] = clip8(sum);
    }
  }
  return result;
}

/** Decodes a file upright, without colour management (the training did none either). Rejects what is no picture. */
export function decode(blob) {
  return createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
}

/** The model's input bytes [size, size, 3] of an ImageBitmap, a video frame or a canvas. */
export function prepare(source, preprocessing) {
  const width = source.videoWidth || source.width;
  const height = source.videoHeight || source.height;
  const { left, top, side } = cropBox(width, height, preprocessing);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d", { willReadFrequently: true }); // software canvas: exact bytes
  context.fillStyle = "#fff"; // transparency is put on white, as in training
  context.fillRect(0, 0, side, side);
  context.drawImage(source, left, top, side, side, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  return resize(data, side, 4, preprocessing.resolution_px, preprocessing.interpolation);
}
