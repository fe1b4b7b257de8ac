"use strict";

// The worker in which the library computes. It is asked by {call, ...} and answers {done} or {code, sentence}, one call at a
// time; worker_computer.js is who asks. The single file (single.py) has this file, atrous_c.js and the module in one script.

let atrous = null, model = 0, session = 0, threads = 1, memoryLimit = 0, instances = false, hasMasks = false;

// Photos of more pixels are made smaller: phones draw no larger canvas.
const mostPixels = 1 << 24;

// Shorter sides that are tried in turn where a network as published would need more memory than there is.
const smallerSides = [720, 512, 384, 256];

async function start({compiled, threaded, count, limit}) {
  threads = count;
  memoryLimit = limit;
  const script = threaded ? "atrous_threads.js" : "atrous.js";
  if (typeof createAtrousModule === "undefined") importScripts("atrous_c.js", script);
  const module = await createAtrousModule({
    mainScriptUrlOrBlob: script,
    instantiateWasm: (imports, receive) => {
      WebAssembly.instantiate(compiled, imports).then((instance) => receive(instance, compiled));
      return {};
    },
  });
  atrous = new Atrous(module);
}

// The model before it stays where the new one cannot be had.
function load({file, name}) {
  const loaded = atrous.loadModel(new Uint8Array(file), name, threads);
  let info, made;
  try {
    info = atrous.modelInfo(loaded);
    made = atrous.newSession(loaded, threads, memoryLimit);
  } catch (error) {
    atrous.freeModel(loaded);
    throw error;
  }
  if (session) atrous.freeSession(session);
  if (model) atrous.freeModel(model);
  model = loaded;
  session = made;
  ({instances, hasMasks} = info);
  return {done: info, moved: [info.palette.buffer]};
}

// RGB pixels to RGBA; every output pixel is the mean of factor x factor of the input's.
function toRgba({width, height, pixels}, factor) {
  const w = Math.floor(width / factor), h = Math.floor(height / factor), out = new Uint8ClampedArray(4 * w * h).fill(255);
  for (let y = 0, to = 0; y < h; ++y)
    for (let x = 0; x < w; ++x, to += 4)
      for (let c = 0; c < 3; ++c) {
        let sum = 0;
        for (let v = 0; v < factor; ++v)
          for (let u = 0, from = 3 * ((y * factor + v) * width + x * factor) + c; u < factor; ++u, from += 3) sum += pixels[from];
        out[to + c] = sum / (factor * factor);
      }
  return {width: w, height: h, pixels: out};
}

function open({file, name}) {
  return atrous.decode(new Uint8Array(file), name, (picture) => {
    const {width, height} = picture;
    const photo = toRgba(picture, Math.max(1, Math.ceil(Math.sqrt(width * height / mostPixels))));
    photo.note = photo.width === width ? "" :
      `The photo was made smaller, from ${width}x${height} to ${photo.width}x${photo.height} pixels.`;
    return {done: photo, moved: [photo.pixels.buffer]};
  });
}

// The classes of a label map, the most frequent first; the mean of the confidence over each.
function sharesOf(labels, confidence) {
  const pixels = new Float64Array(256), sums = new Float64Array(256);
  for (let i = 0; i < labels.length; ++i) {
    ++pixels[labels[i]];
    sums[labels[i]] += confidence[i];
  }
  return Array.from(pixels, (count, index) => ({index, pixels: count, share: count / labels.length, confidence: sums[index] / count}))
    .filter((one) => one.pixels > 0).sort((a, b) => b.pixels - a.pixels);
}

// As the model was published, or at the largest of smallerSides that memory has room for.
function segmentInMemory(photo) {
  for (let tried = -1;; ++tried) {
    try {
      const side = tried < 0 ? 0 : smallerSides[tried];
      return {result: atrous.segment(session, photo, !instances, side), side};
    } catch (error) {
      if (error.code !== "limit" || tried + 1 === smallerSides.length) throw error;
    }
  }
}

function segment({photo}) {
  const {result, side} = segmentInMemory(photo);
  try {
    const info = atrous.resultInfo(result), {width, height} = info;
    const done = {
      width, height, inputWidth: info.inputWidth, inputHeight: info.inputHeight, seconds: info.seconds,
      labels: info.labels.slice(), confidence: null, classes: [], instances: null, instanceOf: null,
      device: threads > 1 ? `WebAssembly, ${threads} threads` : "WebAssembly",
      note: side === 0 ? "" : `At its usual size this network needs more memory than there is here: it saw the photo at ` +
        `${info.inputWidth}x${info.inputHeight} pixels.`,
    };
    if (instances) {
      done.instances = Array.from({length: info.instances}, (_, i) => atrous.instance(result, i));
      if (hasMasks) {
        const owner = done.instanceOf = new Uint8Array(width * height).fill(255);
        atrous.masks(result, Math.min(info.instances, 255), width * height, (mask, index) => {
          for (let i = 0; i < mask.length; ++i) if (mask[i] && owner[i] === 255) owner[i] = index;
        });
      }
    } else {
      done.classes = sharesOf(info.labels, info.confidence);
      done.confidence = Uint8Array.from(info.confidence, (p) => Math.round(255 * p));
    }
    return {done, moved: [done.labels, done.confidence, done.instanceOf].filter(Boolean).map((array) => array.buffer)};
  } finally {
    atrous.freeResult(result);
  }
}

const calls = {start, load, open, segment};
self.onmessage = async ({data}) => {
  try {
    const {done, moved} = (await calls[data.call](data)) || {};
    self.postMessage({done}, moved || []);
  } catch (error) {
    const known = error instanceof AtrousError;
    self.postMessage({code: known ? error.code : "crashed", sentence: error.message});
  }
};
