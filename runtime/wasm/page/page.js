"use strict";

// The page: a photo goes to the computer (computer.js), its answer is drawn (drawing.js).

const byId = (id) => document.getElementById(id);
const percent = (share) => (share > 0 && share < 0.001 ? "<0.1" : share > 0 && share < 0.0095 ? (100 * share).toFixed(1) : Math.round(100 * share)) + "%";
const spoken = (name) => name.replace(/^_+|_+$/g, ""); // "__background__"
const say = (sentence) => { byId("said").textContent = sentence; };

// An element with attributes and children: strings are text, null is nothing.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const computer = makeComputer();
let model = null; // in use; null until the first is ready
let onStage = null; // the photo there
let shown = null; // what was found in it: {photo, result, model}, and what draw() keeps with it; null before

// ---- light and dark (theme.js)

function nameTheme() {
  const theme = document.documentElement.dataset.theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", theme === "dark" ? "Light colours" : "Dark colours");
}
dark.addEventListener("change", () => {
  useTheme();
  nameTheme();
});
byId("theme").addEventListener("click", () => {
  kept.theme = document.documentElement.dataset.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  nameTheme();
});
nameTheme();

// ---- problems and progress

function problem(sentence) {
  byId("problem-words").textContent = /[.!?]$/.test(sentence) ? sentence : sentence + ".";
  byId("problem").hidden = false;
  byId("problem").scrollIntoView({block: "nearest"});
}
const noProblem = () => { byId("problem").hidden = true; };
byId("dismiss").addEventListener("click", noProblem);

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const progress = {
  timer: 0,
  show(words, canCancel) {
    clearInterval(this.timer);
    byId("doing").textContent = words;
    byId("amount").textContent = "";
    byId("bar").removeAttribute("value");
    byId("cancel").hidden = !canCancel;
    byId("progress").hidden = false;
  },
  download(bytes, total) {
    byId("amount").textContent = total ? `${megabytes(bytes)} of ${megabytes(total)} MB` : `${megabytes(bytes)} MB`;
    if (total) byId("bar").value = Math.min(1, bytes / total);
  },
  // Seconds that pass, and a bar where it is known about how many it will be.
  count(expected) {
    const began = performance.now();
    const tick = () => {
      const seconds = (performance.now() - began) / 1000;
      byId("amount").textContent = `${Math.floor(seconds)} s` + (expected > 1 ? ` of about ${Math.ceil(expected)} s` : "");
      if (expected) byId("bar").value = Math.min(0.97, seconds / expected);
    };
    tick();
    this.timer = setInterval(tick, 200);
  },
  hide() {
    clearInterval(this.timer);
    byId("progress").hidden = true;
  },
};

// ---- one job at a time: a new one ends the one before it

let turn = 0, busy = false, last = Promise.resolve();
function next(job) {
  const mine = ++turn;
  if (busy) computer.cancel();
  noProblem();
  last = last.then(async () => {
    if (mine !== turn) return;
    busy = true;
    byId("stage").classList.add("busy");
    try {
      if (!model) {
        progress.show("Getting ready", false);
        useModel(await computer.start((bytes, total) => progress.download(bytes, total)));
      }
      await job(() => mine === turn);
    } catch (error) {
      if (!(error instanceof ComputerError)) console.error(error);
      if (mine === turn && error.code !== "stopped")
        problem(error instanceof ComputerError ? error.message : `Something went wrong: ${error.message}.`);
    } finally {
      busy = false;
      byId("stage").classList.remove("busy");
      progress.hide();
    }
  });
  return last;
}
byId("cancel").addEventListener("click", () => {
  ++turn;
  computer.cancel();
  say("Stopped.");
});

function useModel(loaded) {
  model = loaded;
  const names = model.classes.filter((_, i) => i !== model.background);
  byId("network-name").textContent = model.name === "default" ? "the built-in one, for street scenes" : `${model.name} (${model.architecture})`;
  byId("default-network").hidden = model.builtIn;
  byId("knows").textContent = (model.name === "default" ? "Made for photos of streets. It knows " : `${model.name} knows `) +
    (names.length > 24 ? `${names.length} classes, such as ${names.slice(0, 12).join(", ")}.` :
      names.length === 1 ? names[0] + "." : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}.`);
}

// What the last photo cost with a network: {model, seconds, aspect}.
let cost = null;
const aspect = ({width, height}) => Math.max(width, height) / Math.min(width, height);

// The photo alone, while it is computed.
function preview(photo) {
  onStage = photo;
  shown = null;
  const {width, height, pixels} = smallPhoto(photo), canvas = byId("canvas");
  Object.assign(canvas, {width, height});
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  byId("stage").style.setProperty("--aspect", width / height);
  byId("stage").style.setProperty("--pixels", width);
  byId("stage").setAttribute("aria-label", "The photo");
  byId("work").classList.add("waiting");
  byId("work").hidden = false;
  byId("begin").classList.add("small");
  document.body.classList.add("with-result");
  unpoint();
  pointer = null;
}

async function segment(photo, still) {
  if (photo !== onStage) preview(photo);
  progress.show("Looking at " + photo.name, true);
  progress.count(cost && cost.model === model.name ? cost.seconds * aspect(photo) / aspect(cost) : 0);
  const began = performance.now(), result = await computer.segment(photo);
  if (!still()) return;
  const seconds = (performance.now() - began) / 1000;
  cost = {model: model.name, seconds, width: photo.width, height: photo.height};
  present(photo, result, seconds);
}

const showPhoto = (photo) => next((still) => segment(photo, still));

const showFile = (file) => next(async (still) => {
  progress.show("Opening " + (file.name || "the photo"), true);
  const photo = await computer.open(file);
  if (still()) await segment(photo, still);
});

// With another network the photo on the stage is looked at again.
const changeModel = (words, load) => next(async (still) => {
  progress.show(words, true);
  useModel(await load((bytes, total) => progress.download(bytes, total)));
  say(`${model.name} is ready.`);
  if (still() && onStage) await segment(onStage, still);
});

const isModelName = (name) => /\.(safetensors|pth?|caffemodel)$/i.test(name);
async function takeFile(file) {
  const first = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const zipOrPickle = (first[0] === 0x50 && first[1] === 0x4b) || (first[0] === 0x80 && first[1] <= 5);
  if (!isModelName(file.name || "") && !(zipOrPickle && !file.type.startsWith("image/"))) return showFile(file);
  if (!computer.takesModels) return problem("The network is the server's: it takes no other.");
  return changeModel("Loading " + file.name, (told) => computer.loadModel(file, told));
}

// ---- where photos come from

for (const id of ["photo", "network"])
  byId(id).addEventListener("change", ({target}) => {
    const [file] = target.files;
    target.value = ""; // so that the same file can be chosen again
    if (!file) return;
    if (id === "photo") takeFile(file);
    else changeModel("Loading " + file.name, (told) => computer.loadModel(file, told));
  });
byId("default-network").addEventListener("click", () => changeModel("Loading the built-in network", (told) => computer.defaultModel(told)));

let within = 0; // entered elements: each of them says so when it is left
const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
addEventListener("dragenter", (event) => { if (carriesFiles(event)) byId("drop-here").hidden = ++within <= 0; });
addEventListener("dragleave", (event) => { if (carriesFiles(event)) byId("drop-here").hidden = --within <= 0; });
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  within = 0;
  byId("drop-here").hidden = true;
  if (event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
});

addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) takeFile(file);
  else problem("There is no picture to paste: copy one first.");
});
byId("paste").hidden = !(navigator.clipboard && navigator.clipboard.read);
byId("paste").addEventListener("click", async () => {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((one) => one.startsWith("image/"));
      if (type) return takeFile(new File([await item.getType(type)], "pasted." + type.slice(6).replace(/\W.*/, ""), {type}));
    }
    problem("There is no picture to paste: copy one first.");
  } catch (error) {
    problem(error.name === "NotAllowedError" ? "This browser does not let the page paste: Ctrl+V may do." : `Nothing could be pasted: ${error.message}.`);
  }
});

byId("example").addEventListener("click", async () => {
  const within = document.querySelector('script[data-part="street.png"]');
  try {
    const answer = within ? null : await fetch("street.png");
    if (answer && !answer.ok) throw new Error(`the server says ${answer.status}`);
    const bytes = within ? Uint8Array.from(atob(within.textContent), (c) => c.charCodeAt(0)) : await answer.arrayBuffer();
    showFile(new File([bytes], "street.png", {type: "image/png"}));
  } catch (error) {
    problem(`The example could not be had: ${error.message}.`);
  }
});

// ---- the camera

const video = byId("video"), cameraDialog = byId("camera-dialog");
function stopCamera() {
  for (const track of video.srcObject ? video.srcObject.getTracks() : []) track.stop();
  video.srcObject = null;
}
byId("camera").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia && cameraDialog.showModal);
byId("camera").addEventListener("click", async () => {
  noProblem();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment", width: {ideal: 1280}, height: {ideal: 960}}});
    cameraDialog.showModal();
  } catch (error) {
    problem(error.name === "NotAllowedError" ? "The camera may not be used: the browser was told so." :
      error.name === "NotFoundError" ? "No camera was found." : `The camera cannot be used: ${error.message}.`);
  }
});
byId("camera-close").addEventListener("click", () => cameraDialog.close());
cameraDialog.addEventListener("close", stopCamera);
byId("shoot").addEventListener("click", () => {
  const canvas = make("canvas", {width: video.videoWidth, height: video.videoHeight});
  if (!canvas.width) return; // no frame has come yet
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  const {width, height, data} = pen.getImageData(0, 0, canvas.width, canvas.height);
  cameraDialog.close();
  showPhoto({name: "camera", width, height, pixels: data, note: "", file: null});
});

// ---- the result

// What of the classes is shown, for colours and for the cut-out.
const chosen = () => shown.chosen[view() === "cutout" ? "cutout" : "colours"];
const view = () => document.querySelector("#views input:checked").value;
const style = () => ({view: view(), alpha: byId("alpha").value / 100, shown: chosen(), palette: shown.model.palette, background: shown.model.background});

// The found classes, as the legend has them: {index, name, share, sure}.
function found({result, model: of}) {
  if (!result.instances) return result.classes.map((one) => ({...one, name: of.classes[one.index], sure: `${percent(one.confidence)} sure`}));
  const classes = new Map();
  for (const {label, score} of result.instances) {
    const one = classes.get(label) || {index: label, name: of.classes[label], count: 0, best: 0};
    classes.set(label, {...one, count: one.count + 1, best: Math.max(one.best, score)});
  }
  return [...classes.values()].sort((a, b) => b.count - a.count).map((one) => ({...one, sure: `up to ${percent(one.best)} sure`}));
}

function present(photo, result, seconds) {
  shown = {photo, result, model, classes: [], chosen: {colours: new Uint8Array(256).fill(1), cutout: new Uint8Array(256).fill(1)}};
  shown.classes = found(shown);
  // A cut-out begins without the background, or, where none is known, without the most frequent class.
  const left = model.background >= 0 ? model.background : shown.classes.length > 1 ? shown.classes[0].index : -1;
  if (left >= 0) shown.chosen.cutout[left] = 0;
  const {width, height, pixels} = smallPhoto(photo);
  shown.small = {width, height, pixels,
    labels: scaledMap(result.labels, photo.width, photo.height, width, height),
    edge: edgesOf(scaledMap(result.instanceOf || result.labels, photo.width, photo.height, width, height), width, height, contourWidth(width, height))};
  byId("work").classList.remove("waiting");
  byId("facts").textContent = [`${photo.name}: ${photo.width} by ${photo.height} pixels, in ${seconds.toFixed(1)} s.`, photo.note, result.note]
    .filter(Boolean).join(" ");
  listClasses();
  draw();
  const names = shown.classes.map((one) => spoken(one.name));
  byId("stage").setAttribute("aria-label", `The photo, with ${names.slice(0, 8).join(", ") || "nothing"} found`);
  say(names.length ? `Found: ${names.join(", ")}.` : "Nothing was found that this network knows.");
}

function canvasOf(pixels, width, height) {
  const canvas = make("canvas", {width, height});
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

// The photo at the size that the stage has room for, so that drawing is quick.
function smallPhoto(photo) {
  const many = 1 << 21, scale = Math.min(1, Math.sqrt(many / (photo.width * photo.height)));
  if (scale === 1) return photo;
  const width = Math.max(1, Math.round(photo.width * scale)), height = Math.max(1, Math.round(photo.height * scale));
  const pen = make("canvas", {width, height}).getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvasOf(photo.pixels, photo.width, photo.height), 0, 0, width, height);
  return {width, height, pixels: pen.getImageData(0, 0, width, height).data};
}

function boxes(scale) {
  if (!shown.result.instances || view() !== "overlay") return [];
  const {palette, classes} = shown.model;
  return shown.result.instances.filter(({label}) => chosen()[label]).map(({x1, y1, x2, y2, label, score}) => ({
    x1: x1 * scale, y1: y1 * scale, x2: x2 * scale, y2: y2 * scale, colour: [...palette.subarray(3 * label, 3 * label + 3)],
    caption: `${spoken(classes[label])} ${percent(score)}`}));
}

function draw() {
  const {width, height, pixels, labels, edge} = shown.small, pen = byId("canvas").getContext("2d");
  pen.putImageData(new ImageData(paint(pixels, labels, edge, style()), width, height), 0, 0);
  paintBoxes(pen, boxes(width / shown.photo.width));
  byId("strength").hidden = view() !== "overlay";
  byId("alpha-words").textContent = byId("alpha").value + "%";
  byId("stage-hint").textContent = view() === "cutout" ? "What is ticked stays. A click into the picture keeps or drops what is there." :
    matchMedia("(pointer: coarse)").matches ? "Tap the picture to see what is what." : "Point at the picture to see what is what, or go over it with the arrow keys.";
}
let frame = 0;
function drawSoon() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => { if (shown) draw(); });
}
byId("alpha").addEventListener("input", drawSoon);
byId("views").addEventListener("change", () => {
  listClasses();
  draw();
});

function choose(indices, on) {
  for (const index of indices) chosen()[index] = on;
  for (const box of byId("legend").querySelectorAll("input")) box.checked = chosen()[box.value] === 1;
  drawSoon();
}
const foundIndices = () => shown.classes.map((one) => one.index);
byId("all").addEventListener("click", () => choose(foundIndices(), 1));
byId("none").addEventListener("click", () => choose(foundIndices(), 0));

function listClasses() {
  const {palette} = shown.model;
  byId("legend").replaceChildren(...shown.classes.map(({index, name, share, count, sure}) => make("li", {"data-index": index},
    make("label", {},
      make("input", {type: "checkbox", value: index, checked: chosen()[index] === 1, onchange: ({target}) => choose([index], target.checked ? 1 : 0)}),
      make("span", {class: "swatch", "--colour": `rgb(${palette.subarray(3 * index, 3 * index + 3).join(" ")})`}),
      make("span", {class: "name"}, spoken(name)),
      make("span", {class: "share number"}, count ? `${count} found` : percent(share), make("span", {class: "sure"}, sure))),
    make("button", {type: "button", class: "quiet", "aria-label": `Only ${spoken(name)}`, onclick: () => {
      choose(foundIndices(), 0);
      choose([index], 1);
    }}, "only"))));
  if (!shown.classes.length) byId("legend").append(make("li", {}, "Nothing that this network knows."));
  for (const id of ["all", "none"]) byId(id).hidden = !shown.classes.length;
}

// ---- pointing

let pointer = null; // {x, y} in the photo's pixels, where the keyboard has moved it

// What is at a pixel: {label, words}; null where nothing is.
function at(x, y) {
  const {result, model: of} = shown, i = y * result.width + x, label = result.labels[i];
  if (!result.instances) return {label, words: `${spoken(of.classes[label])}, ${Math.round(result.confidence[i] / 2.55)}% sure`};
  const inBox = ({x1, y1, x2, y2}) => x >= x1 && x < x2 && y >= y1 && y < y2;
  const one = result.instanceOf ? result.instances[result.instanceOf[i]] : result.instances.find(inBox);
  return one ? {label: one.label, words: `${spoken(of.classes[one.label])}, ${percent(one.score)} sure`} : null;
}

function point(x, y) {
  const canvas = byId("canvas"), tip = byId("tip"), here = at(x, y);
  for (const row of byId("legend").children) row.classList.toggle("pointed", here !== null && Number(row.dataset.index) === here.label);
  const {palette} = shown.model, colour = here ? palette.subarray(3 * here.label, 3 * here.label + 3).join(" ") : "";
  tip.replaceChildren(...(here ? [make("span", {class: "swatch", "--colour": `rgb(${colour})`})] : []), here ? here.words : "nothing known");
  tip.hidden = false;
  const left = (x + 0.5) / shown.photo.width * canvas.clientWidth, top = (y + 0.5) / shown.photo.height * canvas.clientHeight;
  tip.style.left = Math.max(0, Math.min(left + 14, canvas.clientWidth - tip.offsetWidth)) + "px";
  tip.style.top = (top > tip.offsetHeight + 18 ? top - tip.offsetHeight - 14 : top + 18) + "px";
  return {left, top, words: here ? here.words : "nothing known"};
}
function unpoint() {
  byId("tip").hidden = byId("cross").hidden = true;
  for (const row of byId("legend").children) row.classList.remove("pointed");
}
function pixelAt(event) {
  const box = byId("canvas").getBoundingClientRect(), {width, height} = shown.photo;
  const inside = (value, count) => Math.max(0, Math.min(count - 1, Math.floor(value)));
  return [inside((event.clientX - box.left) / box.width * width, width), inside((event.clientY - box.top) / box.height * height, height)];
}
function toggleAt(x, y) {
  const here = at(x, y);
  if (view() === "cutout" && here) choose([here.label], 1 - chosen()[here.label]);
}
const stage = byId("stage");
stage.addEventListener("pointermove", (event) => {
  if (!shown) return;
  byId("cross").hidden = true;
  point(...pixelAt(event));
});
stage.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") unpoint(); });
stage.addEventListener("click", (event) => {
  if (!shown) return;
  point(...pixelAt(event));
  toggleAt(...pixelAt(event));
});
stage.addEventListener("blur", unpoint);
stage.addEventListener("keydown", (event) => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!shown) return;
  const {width, height} = shown.photo;
  if (event.key === "Escape") return unpoint();
  if ((event.key === "Enter" || event.key === " ") && pointer) toggleAt(pointer.x, pointer.y);
  else if (!step) return;
  event.preventDefault();
  pointer = pointer || {x: width >> 1, y: height >> 1};
  if (step) {
    const far = Math.max(1, Math.round(Math.max(width, height) / (event.shiftKey ? 200 : 40)));
    pointer.x = Math.max(0, Math.min(width - 1, pointer.x + far * step[0]));
    pointer.y = Math.max(0, Math.min(height - 1, pointer.y + far * step[1]));
  }
  const {left, top, words} = point(pointer.x, pointer.y);
  Object.assign(byId("cross").style, {left: left + "px", top: top + "px"});
  byId("cross").hidden = false;
  say(words);
});

// ---- saving

function save(blob, name) {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`Saved ${name}.`);
}
const stem = () => shown.photo.name.replace(/\.[^.]*$/, "") || "photo";

byId("save-png").addEventListener("click", () => {
  const {photo, result} = shown, {width, height} = photo;
  const edge = edgesOf(result.instanceOf || result.labels, width, height, contourWidth(width, height));
  const canvas = canvasOf(paint(photo.pixels, result.labels, edge, style()), width, height), name = `${stem()}.${view()}.png`;
  paintBoxes(canvas.getContext("2d"), boxes(1));
  canvas.toBlob((blob) => (blob ? save(blob, name) : problem("The memory of this page did not suffice for the picture.")), "image/png");
});

// As `atrous segment --json` writes it: of label maps one record, of instances one each, as COCO's results.
function numbers({photo, result, model: of}) {
  if (result.instances)
    return result.instances.map(({x1, y1, x2, y2, score, label}) => ({image_id: 1, category_id: label, bbox: [x1, y1, x2 - x1, y2 - y1], score,
      category: of.classes[label], file: photo.name}));
  const {width, height, inputWidth, inputHeight, device, classes, seconds} = result;
  return [{file: photo.name, width, height, input_width: inputWidth, input_height: inputHeight, device, model: of.name, architecture: of.architecture,
    classes: classes.map(({index, ...rest}) => ({index, name: of.classes[index], ...rest})), seconds}];
}
byId("save-json").addEventListener("click", () =>
  save(new Blob([JSON.stringify(numbers(shown), null, 2) + "\n"], {type: "application/json"}), `${stem()}.json`));

// ---- to begin with

byId("where").textContent = computer.where;
byId("networks").hidden = !computer.takesModels;
next(async () => {});
