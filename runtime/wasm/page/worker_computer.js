"use strict";

// The computer (computer.js) that is the browser itself: a worker with the library as WebAssembly. What it is made of lies
// beside the page, or within it where single.py has put it.

// A function that uses one instruction of SIMD: (module (func (result v128) i32.const 0 i8x16.splat)).
const simdModule = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11);

function refuseOldBrowsers() {
  if (typeof WebAssembly !== "object")
    throw new ComputerError("no_webassembly", "This browser has no WebAssembly, or it is switched off: nothing can be computed here.");
  if (!WebAssembly.validate(simdModule))
    throw new ComputerError("no_simd", "This browser has no WebAssembly SIMD, without which nothing can be computed here: newer ones have it.");
}

// A part that single.py has put into the page, as bytes; null where the parts lie beside it.
function embedded(name) {
  const part = document.querySelector(`script[data-part="${name}"]`);
  return part ? Uint8Array.from(atob(part.textContent), (c) => c.charCodeAt(0)) : null;
}

async function download(name, onProgress) {
  const within = embedded(name);
  if (within) return within;
  const missing = (why) => new ComputerError("download", location.protocol === "file:" ?
    "Opened from a disk, this page cannot load its parts: open atrous.html, which has them inside, or put the folder on a server." :
    `${name} could not be downloaded: ${why}.`);
  try {
    const answer = await fetch(name);
    if (!answer.ok) throw missing(`the server says ${answer.status}`);
    const total = answer.headers.has("Content-Encoding") ? 0 : Number(answer.headers.get("Content-Length")), parts = [];
    let bytes = 0;
    for (const reader = answer.body.getReader();;) {
      const {done, value} = await reader.read();
      if (done) break;
      parts.push(value);
      onProgress(bytes += value.length, total);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  } catch (error) {
    throw error instanceof ComputerError ? error : missing(error.message);
  }
}

// A picture as the browser decodes it, for formats that the library does not: WebP, AVIF, HEIC, GIF.
async function decodeByBrowser(file) {
  const mostPixels = 1 << 24, bitmap = await createImageBitmap(file, {imageOrientation: "from-image"});
  const scale = Math.min(1, Math.sqrt(mostPixels / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(bitmap.width * scale));
  canvas.height = Math.max(1, Math.floor(bitmap.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const {width, height, data} = pen.getImageData(0, 0, canvas.width, canvas.height);
  return {width, height, pixels: data, note: width === bitmap.width ? "" :
    `The photo was made smaller, from ${bitmap.width}x${bitmap.height} to ${width}x${height} pixels.`};
}

function makeComputer() {
  const threaded = self.crossOriginIsolated === true && navigator.hardwareConcurrency > 1 && !embedded("atrous.wasm");
  const count = threaded ? Math.min(navigator.hardwareConcurrency, 16) : 1;
  // Bytes for a network and its activations; the rest of a module's 4 GB is the photo's.
  const limit = (navigator.deviceMemory || 8) <= 4 ? 600e6 : 1200e6;

  let compiled = null, builtIn = null; // the module and the network that comes with the page
  let current = null; // {name, bytes() -> Promise<ArrayBuffer>, builtIn}: what a new worker has to load
  let worker = null, reject = null;
  let script = ""; // of the worker, where it is within the page

  // The worker's answer to a call; a worker that cannot go on is left behind.
  const ask = (message, moved = []) => new Promise((resolve, fail) => {
    const leave = (code, sentence) => {
      end();
      fail(new ComputerError(code, sentence));
    };
    const crashed = () => leave("crashed", message.call === "start" ? "What this page computes with could not be started in this browser." :
      message.call === "load" ? "The network could not be loaded, most likely for want of memory." :
        "The photo could not be finished, most likely for want of memory: a smaller one may do.");
    reject = () => leave("stopped", "Stopped.");
    worker.onerror = (event) => {
      event.preventDefault();
      crashed();
    };
    worker.onmessage = ({data}) => {
      reject = null;
      if (data.code === "crashed") crashed();
      else if (data.code) fail(new ComputerError(data.code, data.sentence));
      else resolve(data.done);
    };
    worker.postMessage(message, moved);
  });

  function end() {
    if (worker) worker.terminate();
    worker = reject = null;
  }

  function newWorker() {
    const parts = ["atrous.js", "atrous_c.js", "worker.js"].map(embedded);
    if (parts.every((part) => part === null)) return new Worker("worker.js");
    script = script || URL.createObjectURL(new Blob(parts.flatMap((part) => [part, "\n"]), {type: "text/javascript"}));
    return new Worker(script);
  }

  // A worker that has the current model.
  async function awake() {
    if (worker) return;
    worker = newWorker();
    await ask({call: "start", compiled, threaded, count, limit});
    if (current) await load(current);
  }

  async function load(source) {
    const file = await source.bytes();
    const info = await ask({call: "load", file, name: source.name}, [file]);
    current = source;
    return {name: source.name, builtIn: source.builtIn, ...info};
  }

  const tooLarge = (error, what) => {
    if (error.code === "limit" && /memory/.test(error.message))
      error.message = `The memory of this page does not suffice for ${what}.`;
    return error;
  };

  return {
    where: "It stays on this device: your browser does the work.",
    takesModels: true,

    async start(onProgress) {
      refuseOldBrowsers();
      if (!builtIn) {
        const here = [[0, 0], [0, 0]];
        const told = (i) => (bytes, total) => {
          here[i] = [bytes, total];
          onProgress(here[0][0] + here[1][0], here[0][1] && here[1][1] ? here[0][1] + here[1][1] : 0);
        };
        const [program, network] = await Promise.all([
          download(threaded ? "atrous_threads.wasm" : "atrous.wasm", told(0)), download("default.safetensors", told(1))]);
        compiled = await WebAssembly.compile(program).catch(() => {
          throw new ComputerError("no_webassembly", "The WebAssembly of this browser is too old for this page: newer ones will do.");
        });
        builtIn = {name: "default", builtIn: true, bytes: async () => network.buffer.slice(0)};
      }
      return this.defaultModel();
    },

    async loadModel(file) {
      await awake();
      try {
        return await load({name: file.name, builtIn: false, bytes: () => file.arrayBuffer()});
      } catch (error) {
        throw tooLarge(error, `the network in ${file.name}`);
      }
    },

    async defaultModel() {
      await awake();
      return load(builtIn);
    },

    async open(file) {
      await awake();
      const name = file.name || "photo", bytes = await file.arrayBuffer();
      try {
        return {name, file, ...await ask({call: "open", file: bytes, name}, [bytes])};
      } catch (error) {
        if (error.code !== "unsupported") throw tooLarge(error, `${name}: a smaller picture may do`);
        const found = /: is (.*?);/.exec(error.message);
        return decodeByBrowser(file).then((photo) => ({name, file, ...photo}), () => {
          throw new ComputerError("unsupported", `${name} is ${found ? found[1] : "a picture of an unknown kind"}, ` +
            "which cannot be read here. JPEG, PNG, WebP and BMP can.");
        });
      }
    },

    async segment(photo) {
      await awake();
      const {width, height, pixels} = photo;
      try {
        return await ask({call: "segment", photo: {width, height, pixels}});
      } catch (error) {
        throw tooLarge(error, "this photo: a smaller one may do");
      }
    },

    cancel() { if (reject) reject(); },
  };
}
