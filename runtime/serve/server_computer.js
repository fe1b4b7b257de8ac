"use strict";

// The computer (runtime/wasm/page/computer.js) that is the server which the page came from: photos go to /v1/segment. Of a
// server with tokens the page's address ends in #token=TOKEN, which browsers keep to themselves.

// The samples of a grey PNG of 8 bits as the server writes it, one a pixel. Not by a canvas: browsers that hide what they
// are change what is read from one.
async function greyPng(base64) {
  const file = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), view = new DataView(file.buffer), parts = [];
  const width = view.getUint32(16), height = view.getUint32(20);
  for (let at = 8; at < file.length; at += 12 + view.getUint32(at))
    if (view.getUint32(at + 4) === 0x49444154) parts.push(file.subarray(at + 8, at + 8 + view.getUint32(at))); // IDAT
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(stream).arrayBuffer()), out = new Uint8Array(width * height);
  for (let y = 0; y < height; ++y) { // https://www.w3.org/TR/png/#9Filters, of one byte a pixel
    const filter = rows[y * (width + 1)], from = y * (width + 1) + 1, to = y * width;
    for (let x = 0; x < width; ++x) {
      const left = x ? out[to + x - 1] : 0, up = y ? out[to + x - width] : 0, corner = x && y ? out[to + x - width - 1] : 0;
      const a = Math.abs(up - corner), b = Math.abs(left - corner), c = Math.abs(left + up - 2 * corner);
      const guess = [0, left, up, (left + up) >> 1, a <= b && a <= c ? left : b <= c ? up : corner][filter];
      out[to + x] = rows[from + x] + guess;
    }
  }
  return out;
}

function makeComputer() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  let model = null, stop = null; // the Model; ends the call that runs

  // An answer of the server's as JSON.
  async function ask(path, options = {}) {
    const ending = new AbortController();
    stop = () => ending.abort();
    try {
      const answer = await fetch(path, {
        ...options, signal: ending.signal, headers: token ? {Authorization: `Bearer ${token}`} : {}});
      if (answer.ok) return await answer.json();
      if (answer.status === 401)
        throw new ComputerError("invalid_argument", "The server wants a token: its owner's link to this page ends in #token= and one.");
      const wait = answer.headers.get("Retry-After"), problem = await answer.json().catch(() => ({detail: answer.statusText}));
      throw new ComputerError({413: "limit", 415: "unsupported", 422: "malformed"}[answer.status] || "io",
        wait ? `The server is busy: try again in ${wait} s.` : `The server: ${problem.detail}.`);
    } catch (error) {
      if (error instanceof ComputerError) throw error;
      if (error.name === "AbortError") throw new ComputerError("stopped", "Stopped.");
      throw new ComputerError("download", "The server does not answer.");
    } finally {
      stop = null;
    }
  }

  function canvasOf(width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    return canvas;
  }

  // What is sent of a photo: its file, or of a camera's frame a PNG.
  async function bytesOf({file, width, height, pixels}) {
    if (file) return file;
    const canvas = canvasOf(width, height);
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  const noPicture = (value, size) => new Uint8Array(size).fill(value);

  return {
    where: "It goes to the server that this page came from, which does the work and keeps nothing.",
    takesModels: false,

    async start() {
      const one = (await ask("/v1/models")).models[0];
      model = {
        name: one.name, builtIn: one.name === "default", architecture: one.architecture, instances: one.task === "instances", hasMasks: one.masks,
        classes: one.classes.map((c) => c.name), background: one.background === null ? -1 : one.background,
        palette: Uint8Array.from(one.classes.flatMap((c) => [1, 3, 5].map((i) => parseInt(c.colour.slice(i, i + 2), 16)))),
      };
      return model;
    },

    async open(file) {
      const name = file.name || "photo";
      let bitmap;
      try {
        bitmap = await createImageBitmap(file, {imageOrientation: "from-image"});
      } catch {
        throw new ComputerError("unsupported", `${name} is no picture that this browser can show.`);
      }
      const {width, height} = bitmap, pen = canvasOf(width, height).getContext("2d", {willReadFrequently: true});
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, width, height);
      pen.drawImage(bitmap, 0, 0);
      return {name, file, width, height, pixels: pen.getImageData(0, 0, width, height).data, note: ""};
    },

    async segment(photo) {
      const {width, height, name} = photo, size = width * height;
      const include = !model.instances ? "&include=labels,confidence" : model.hasMasks ? "&include=labels,instance_map" : "";
      const found = await ask(`/v1/segment?output=json&name=${encodeURIComponent(name.slice(-60))}${include}`,
        {method: "POST", body: await bytesOf(photo)});
      if (!model.instances) {
        if (found.width !== width || found.height !== height)
          throw new ComputerError("io", `The server sees ${found.width}x${found.height} pixels, this browser ${width}x${height}.`);
        return {
          width, height, labels: await greyPng(found.labels), confidence: await greyPng(found.confidence), classes: found.classes,
          instances: null, instanceOf: null, inputWidth: found.input_width, inputHeight: found.input_height,
          seconds: found.seconds, note: "",
        };
      }
      const records = model.hasMasks ? found.instances : found;
      return {
        width, height, labels: model.hasMasks ? await greyPng(found.labels) : noPicture(0, size), confidence: null, classes: [],
        instances: records.map(({bbox: [x, y, w, h], score, category_id: label}) =>
          ({x1: x, y1: y, x2: x + w, y2: y + h, score, label})),
        instanceOf: model.hasMasks ? await greyPng(found.instance_map) : null,
        inputWidth: found.input_width || width, inputHeight: found.input_height || height,
        seconds: found.seconds || {prepare: 0, network: 0, label: 0}, note: "",
      };
    },

    cancel() { if (stop) stop(); },
  };
}
