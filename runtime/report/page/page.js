"use strict";
// Draws the page from the evaluation it carries (runtime/report/report_data.cc). Every name enters as text, never as
// markup. Ratios that do not exist are null.

const data = JSON.parse(document.getElementById("evaluation").textContent);
const classes = data.classes;
const hasScores = data.curves.length > 0;

// ---- elements and numbers

const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes))
    if (name === "class") element.setAttribute("class", value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const makeSvg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const exists = (value) => value !== null && value !== undefined;
const count = (n) => n.toLocaleString("en");
const share = (value, digits = 1) => (100 * value).toFixed(digits);
const percent = (value, digits = 1) => share(value, digits) + "%";
const plural = (n, word) => count(n) + " " + word + (n === 1 ? "" : "s");

// A share that is not zero is not shown as zero.
const smallPercent = (value) => (value > 0 && value < 0.0005 ? "<0.1%" : percent(value));

function compact(n) {
  for (const [unit, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]])
    if (n >= unit) return (n / unit).toPrecision(3) + letter;
  return String(n);
}

function duration(seconds) {
  if (seconds < 100) return seconds.toPrecision(3) + " s";
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return (hours ? hours + " h " : "") + minutes + " min " + (hours ? "" : (whole % 60) + " s");
}

const swatch = (c) => make("span", {class: "swatch", "--colour": classes[c].colour});
const absent = (why) => make("span", {class: "absent", title: why || null}, "absent");
const ratio = (value, why) => (exists(value) ? share(value) : absent(why));
const value = (v) => make("span", {class: "value"}, share(v));
const bar = (value) => make("span", {class: "bar", "--share": String(value), "aria-hidden": "true"});

// ---- title and summary

function about() {
  byId("model").textContent = data.model;
  const parts = [data.architecture === data.model ? "" : data.architecture, data.dataset, data.size, data.input];
  byId("about").textContent = parts.filter((part) => part).join(" \u00b7 ");
}

function tile(title, value, aside = "", kind = "") {
  return make("div", {class: "tile " + kind}, make("dt", {}, title),
    exists(value) ? make("dd", {}, value) : make("dd", {class: "absent"}, "absent"),
    aside ? make("dd", {class: "aside"}, aside) : null);
}

function summary() {
  const s = data.summary, images = data.images.length;
  const shown = (value) => (exists(value) ? percent(value, 2) : null);
  const present = classes.filter((c) => exists(c.iou)).length;
  const network = data.images.reduce((sum, image) => sum + (image.seconds || 0), 0);
  const tiles = [
    tile("Mean IoU", shown(s.mean_iou), present === classes.length ? "over all " + present + " classes"
      : "over the " + present + " of " + classes.length + " classes that occur", "main"),
    tile("Pixel accuracy", shown(s.pixel_accuracy), "of " + compact(s.pixels) + " pixels"),
    tile("Mean Dice", shown(s.mean_dice)),
    tile("Mean accuracy", shown(s.mean_accuracy), "mean of the recalls"),
    tile("Frequency-weighted IoU", shown(s.frequency_weighted_iou)),
    hasScores ? tile("Mean AP", shown(s.mean_ap)) : null,
    hasScores ? tile("Loss", exists(s.loss) ? s.loss.toFixed(4) : null, "cross-entropy per pixel") : null,
    tile("Mean IoU per image", shown(s.image_mean_iou), "mean over images"),
    tile("Images", count(images)),
    tile("Time", exists(data.seconds) ? duration(data.seconds) : null,
      images && network ? "network " + (1000 * network / images).toPrecision(3) + " ms an image" : ""),
    tile("Images per second", data.seconds > 0 ? (images / data.seconds).toPrecision(3) : null),
    tile("Failures", count(data.failed.length), "", data.failed.length ? "bad" : ""),
  ];
  byId("summary").append(...tiles.filter((t) => t));
  byId("summary").after(...data.notes.map((note) => make("p", {class: "note"}, note)));
}

// ---- sortable tables
// A column: {title, class, value(row) to sort by, cell(row) -> node or text, first: "ascending" or "descending"}.

function compareBy(column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  return (a, b) => {
    const x = column.value(a), y = column.value(b);
    if (!exists(x) || !exists(y)) return exists(y) - exists(x); // what is absent comes last either way
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", {numeric: true}) : x - y);
  };
}

function sortableHead(columns, order, redraw) {
  const cells = columns.map((column) => make("th", {scope: "col", class: column.class},
    make("button", {class: "sort", type: "button", title: column.hint || null, onclick: () => pick(column)}, column.title)));
  const pick = (column) => {
    const same = order.column === column;
    order.direction = !same ? column.first : order.direction === "ascending" ? "descending" : "ascending";
    order.column = column;
    show();
    redraw();
  };
  const show = () => columns.forEach((column, i) => {
    if (order.column === column) cells[i].setAttribute("aria-sort", order.direction);
    else cells[i].removeAttribute("aria-sort");
  });
  show();
  return make("thead", {}, make("tr", {}, ...cells));
}

// ---- classes

function classTable() {
  const neither = "neither in the truth nor predicted", unseen = "not in the truth", uncalled = "never predicted";
  const column = (title, key, why, kind = "") => ({
    title, class: kind, first: "descending", value: (c) => c[key], cell: (c) => ratio(c[key], why),
  });
  const iou = column("IoU", "iou", neither);
  iou.cell = (c) => (exists(c.iou) ? make("span", {}, bar(c.iou), value(c.iou)) : absent(neither));
  const index = {title: "#", class: "wide", first: "ascending", value: (c) => c.index, cell: (c) => String(c.index)};
  const columns = [
    index,
    {title: "Class", class: "name", first: "ascending", value: (c) => c.name,
     cell: (c) => make("span", {class: "with-swatch"}, swatch(c.index), make("span", {class: "name-text"}, c.name))},
    iou, column("Dice", "dice", neither), column("Precision", "precision", uncalled), column("Recall", "recall", unseen),
    ...(hasScores ? [column("AP", "ap", unseen)] : []),
    {title: "Pixels", class: "", hint: "of the truth", first: "descending", value: (c) => c.truth, cell: (c) => count(c.truth)},
  ];
  const rows = classes.map((c, i) => ({...c, index: i}));
  const body = make("tbody");
  const order = {column: index, direction: "ascending"};
  const redraw = () => body.replaceChildren(...[...rows].sort(compareBy(order.column, order.direction)).map((c) =>
    make("tr", {}, ...columns.map((k) =>
      make(k.class === "name" ? "th" : "td", {class: k.class, scope: k.class === "name" ? "row" : null}, k.cell(c))))));
  byId("class-table").append(sortableHead(columns, order, redraw), body);
  byId("classes-note").textContent = "In percent, over the pixels of all images. A column's title sorts by it.";
  redraw();
}

// ---- confusion matrix

const rowSums = data.confusion.map((row) => row.reduce((a, b) => a + b, 0));
const named = (c) => classes[c].name;

// The colours of the scheme in force, as [r, g, b].
const schemeColour = (name) =>
  rgbOf(getComputedStyle(document.documentElement).getPropertyValue(name).trim());
const rgbOf = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const mix = (from, to, t) => from.map((v, i) => Math.round(v + t * (to[i] - v)));
const css = (rgb) => "rgb(" + rgb.join(" ") + ")";

// WCAG's relative luminance, and the contrast of two colours, 1 to 21.
function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

// Small shares are what one looks for: the square root makes one percent a tenth of the scale.
const shade = (value) => Math.sqrt(value);

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  while (text.length > 1 && context.measureText(text + "\u2026").width > width) text = text.slice(0, -1);
  return text + "\u2026";
}

function confusionMatrix() {
  const frame = byId("matrix"), canvas = frame.querySelector("canvas"), tip = byId("matrix-tip");
  const n = classes.length, place = {left: 0, top: 0, cell: 0};
  const at = {row: -1, column: -1};
  const font = "12px system-ui, sans-serif";

  // Labels where cells are high enough for a line of text; the cells share what is left.
  function layOut() {
    const width = frame.clientWidth, context = canvas.getContext("2d");
    context.font = font;
    const widest = Math.max(...classes.map((c) => context.measureText(c.name).width));
    const label = Math.min(Math.ceil(widest) + 10, width * 0.28, 150);
    const cell = Math.min((width - label) / n, 56);
    const labelled = cell >= 11;
    Object.assign(place, {left: labelled ? label : 0, top: labelled ? label : 0, cell: labelled ? cell : Math.min(width / n, 56)});
  }

  function draw() {
    layOut();
    const {left, top, cell} = place, surface = schemeColour("--surface"), strong = schemeColour("--accent");
    const text = schemeColour("--text"), sunken = schemeColour("--sunken"), edge = (i) => Math.round(i * cell), gap = cell >= 14 ? 1 : 0;
    const context = sized(canvas, frame.clientWidth, Math.ceil(top + n * cell));
    context.font = font;
    context.textBaseline = "middle";
    for (let row = 0; row < n; ++row)
      for (let column = 0; column < n; ++column) {
        const value = rowSums[row] ? data.confusion[row][column] / rowSums[row] : 0;
        const x = left + edge(column), y = top + edge(row);
        const fill = rowSums[row] ? mix(surface, strong, shade(value)) : sunken;
        context.fillStyle = css(fill);
        context.fillRect(x, y, edge(column + 1) - edge(column) - gap, edge(row + 1) - edge(row) - gap);
        if (cell < 30 || value < 0.005) continue;
        context.fillStyle = css(contrast(fill, text) > contrast(fill, surface) ? text : surface);
        context.textAlign = "center";
        context.fillText(share(value, 0), x + cell / 2, y + cell / 2 + 1);
      }
    if (left) labels(context, css(text));
    context.strokeStyle = css(schemeColour("--line"));
    context.strokeRect(left - 0.5, top - 0.5, edge(n) + 1 - gap, edge(n) + 1 - gap);
    if (at.row >= 0) {
      context.strokeStyle = css(text);
      context.lineWidth = 2;
      context.strokeRect(left + edge(at.column), top + edge(at.row), Math.max(cell - gap, 3), Math.max(cell - gap, 3));
    }
    scale(surface, strong);
  }

  function labels(context, colour) {
    const {left, top, cell} = place;
    context.fillStyle = colour;
    if (cell < 14) context.font = "10px system-ui, sans-serif";
    for (let i = 0; i < n; ++i) {
      const middle = (i + 0.5) * cell, name = shortened(context, named(i), left - 8);
      context.textAlign = "right";
      context.fillText(name, left - 6, top + middle);
      context.save();
      context.translate(left + middle, top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(name, 0, 0);
      context.restore();
    }
  }

  function scale(surface, strong) {
    const strip = make("canvas");
    frame.querySelector(".scale").replaceChildren("0%", strip, "100% of the row, on a square-root scale");
    const context = sized(strip, 120, 10);
    for (let x = 0; x < 120; ++x) {
      context.fillStyle = css(mix(surface, strong, x / 119));
      context.fillRect(x, 0, 1, 10);
    }
  }

  function point(row, column) {
    const inside = row >= 0 && column >= 0 && row < n && column < n;
    if (inside && row === at.row && column === at.column) return;
    Object.assign(at, inside ? {row, column} : {row: -1, column: -1});
    tip.hidden = !inside;
    draw();
    if (!inside) return;
    const pixels = data.confusion[row][column], all = rowSums[row];
    const what = row === column ? named(row) + ", called so" : named(row) + ", called " + named(column);
    tip.replaceChildren(make("strong", {}, what), make("br"), !all ? "not in the truth" :
      smallPercent(pixels / all) + " of the class: " + count(pixels) + " of " + plural(all, "pixel"));
    const x = place.left + (column + 0.5) * place.cell, y = place.top + (row + 1) * place.cell + 8;
    const over = y + tip.offsetHeight > canvas.clientHeight ? y - tip.offsetHeight - place.cell - 16 : y;
    tip.style.left = Math.max(0, Math.min(x - tip.offsetWidth / 2, frame.clientWidth - tip.offsetWidth)) + "px";
    tip.style.top = over + "px";
  }

  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    point(Math.floor((event.clientY - box.top - place.top) / place.cell),
          Math.floor((event.clientX - box.left - place.left) / place.cell));
  };
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerdown", pointed);
  canvas.addEventListener("pointerleave", () => point(-1, -1));
  canvas.addEventListener("blur", () => point(-1, -1));
  canvas.addEventListener("keydown", (event) => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (event.key === "Escape") point(-1, -1);
    if (!step) return;
    event.preventDefault();
    const within = (i) => Math.max(0, Math.min(n - 1, i));
    if (at.row < 0) point(0, 0);
    else point(within(at.row + step[0]), within(at.column + step[1]));
  });
  if (n > 40) frame.parentElement.classList.add("many");
  new ResizeObserver(draw).observe(frame);
  whenSchemeChanges(draw);
  draw();
}

function whenSchemeChanges(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("printing"); redraw(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); redraw(); });
}

function mostConfused() {
  const pairs = [];
  data.confusion.forEach((row, t) => row.forEach((pixels, p) => {
    if (t !== p && pixels > 0) pairs.push({t, p, pixels});
  }));
  pairs.sort((a, b) => b.pixels - a.pixels);
  byId("confused").append(...pairs.slice(0, classes.length > 40 ? 12 : 8).map(({t, p, pixels}) => make("li", {},
    make("span", {class: "with-swatch"}, swatch(t), named(t), " \u2192 ", swatch(p), named(p)),
    make("span", {class: "note"}, smallPercent(pixels / rowSums[t]) + " of " + named(t) + ", " + compact(pixels) + " pixels"))));
  if (!pairs.length) byId("confused").append(make("li", {class: "note"}, "Nothing was confused."));
}

// ---- precision-recall curves

// A line has to stand out from the page, whatever colour the class has: towards the text's colour until it does.
function legible(colour) {
  const surface = schemeColour("--surface"), text = schemeColour("--text"), own = rgbOf(colour);
  let t = 0;
  while (t < 1 && contrast(mix(own, text, t), surface) < 2.2) t += 0.05;
  return css(mix(own, text, t));
}

function curves() {
  if (!hasScores) {
    byId("curves").hidden = true;
    document.querySelector('nav a[href="#curves"]').hidden = true;
    return;
  }
  const svg = byId("plot"), left = 40, top = 12, width = 424, height = 340;
  const x = (recall) => left + recall * width, y = (precision) => top + (1 - precision) * height;
  const drawable = data.curves.map((curve, c) => c).filter((c) => data.curves[c].length > 0);
  const ranked = [...drawable].sort((a, b) => classes[a].ap - classes[b].ap);
  const picked = new Set(ranked.length > 1 ? [ranked[0], ranked[ranked.length - 1]] : ranked); // the worst, the best
  const dot = makeSvg("circle", {class: "dot", r: 4, visibility: "hidden"});

  function axes() {
    const parts = [];
    for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      parts.push(makeSvg("path", {class: "grid", d: `M${x(tick)} ${y(0)}V${y(1)}M${x(0)} ${y(tick)}H${x(1)}`}),
        makeSvg("text", {x: x(tick), y: y(0) + 16, "text-anchor": "middle"}, share(tick, 0)),
        makeSvg("text", {x: left - 7, y: y(tick) + 4, "text-anchor": "end"}, share(tick, 0)));
    }
    parts.push(makeSvg("text", {x: x(0.5), y: y(0) + 36, "text-anchor": "middle"}, "recall, %"),
      makeSvg("text", {transform: `translate(10 ${y(0.5)}) rotate(-90)`, "text-anchor": "middle"}, "precision, %"));
    return parts;
  }

  // From recall 0 at the first point's precision, as the area is summed.
  const path = (c) => data.curves[c].reduce((d, [, precision, recall]) => d + `L${x(recall).toFixed(1)} ${y(precision).toFixed(1)}`,
    `M${x(0)} ${y(data.curves[c][0][1]).toFixed(1)}`);

  function draw() {
    const faint = drawable.filter((c) => !picked.has(c)), strong = drawable.filter((c) => picked.has(c));
    svg.replaceChildren(...axes(), ...[...faint, ...strong].map((c) => makeSvg("path", {
      class: picked.has(c) ? "curve picked" : "curve", d: path(c), "--colour": legible(classes[c].colour),
    }, makeSvg("title", {}, named(c)))), dot);
  }

  svg.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null;
    for (const c of picked)
      for (const [threshold, precision, recall] of data.curves[c]) {
        const distance = Math.hypot(x(recall) - place.x, y(precision) - place.y);
        if (!best || distance < best.distance) best = {distance, c, threshold, precision, recall};
      }
    if (!best) return;
    fill(dot, {cx: x(best.recall), cy: y(best.precision), visibility: "visible"}, []);
    byId("curve-readout").textContent = `${named(best.c)}: at scores of ${best.threshold.toFixed(3)} and more, precision ` +
      `${percent(best.precision)}, recall ${percent(best.recall)}`;
  });
  svg.addEventListener("pointerleave", () => {
    dot.setAttribute("visibility", "hidden");
    byId("curve-readout").textContent = "";
  });

  byId("curve-legend").append(...drawable.map((c) => make("button", {
    type: "button", "aria-pressed": String(picked.has(c)), onclick: (event) => {
      if (!picked.delete(c)) picked.add(c);
      event.currentTarget.setAttribute("aria-pressed", String(picked.has(c)));
      draw();
    },
  }, swatch(c), make("span", {class: "name-text"}, named(c)), make("span", {}, "AP ", ratio(classes[c].ap)))));
  whenSchemeChanges(draw);
  draw();
}

// ---- images

const pictureKinds = [["photo", "Photo"], ["truth", "Truth"], ["prediction", "Prediction"], ["errors", "Errors"]];

// Small pictures are shown in their own pixels, not blurred.
function picture(source, text, onload = () => {}) {
  return make("img", {src: source, alt: text, loading: "lazy", decoding: "async", onload: (event) => {
    const image = event.currentTarget;
    image.classList.toggle("pixelated", image.naturalWidth < image.clientWidth);
    onload(image);
  }});
}

// The photo below, one of the maps over it, as opaque as the slider says.
function stage(image) {
  const panel = () => box.closest(".panel");
  const photo = picture(image.pictures.photo, "Photo of " + image.name, (loaded) =>
    panel().style.setProperty("--aspect", loaded.naturalWidth + " / " + loaded.naturalHeight));
  const layer = picture(image.pictures.prediction, "");
  const box = make("div", {class: "stage"}, photo, layer);
  const amount = make("span");
  const slider = make("input", {type: "range", min: 0, max: 100, value: 60, "aria-label": "From the photo to the map over it",
    oninput: () => fade()});
  const fade = () => {
    layer.style.opacity = slider.value / 100;
    amount.textContent = slider.value + "%";
  };
  const choices = pictureKinds.slice(1).map(([kind, title]) => make("label", {}, make("input", {
    type: "radio", name: "layer of " + image.name, checked: kind === "prediction",
    onchange: () => { layer.src = image.pictures[kind]; },
  }), title));
  fade();
  return make("div", {}, box, make("div", {class: "layers"}, make("fieldset", {"aria-label": "Map over the photo"}, ...choices),
    make("label", {class: "fade"}, make("span", {}, "Photo"), slider, amount)));
}

function fourPictures(image) {
  const key = (colour, text) => make("span", {class: "key"}, make("span", {class: "swatch", "--colour": `var(--${colour})`}), text);
  return make("div", {class: "four"}, ...pictureKinds.map(([kind, title]) => make("figure", {},
    picture(image.pictures[kind], title + " of " + image.name),
    make("figcaption", {}, title, ...(kind !== "errors" ? [] :
      [key("wrong", "wrong"), key("right", "right"), key("void", "void")])))));
}

function panel(image) {
  const facts = [image.width + " \u00d7 " + image.height + " compared", plural(image.pixels, "pixel") + " counted"];
  for (const [key, title] of [["iou", "mean IoU"], ["accuracy", "pixel accuracy"], ["dice", "mean Dice"]])
    if (exists(image[key])) facts.push(title + " " + percent(image[key]));
  if (exists(image.loss)) facts.push("loss " + image.loss.toFixed(3));
  const ranked = [...image.classes].sort((a, b) => a[1] - b[1]);
  return make("div", {class: "panel", "--aspect": image.width + " / " + image.height},
    ...(image.pictures ? [stage(image), fourPictures(image)] : [make("p", {class: "note"}, "No pictures of this image were kept.")]),
    make("div", {class: "facts"}, ...facts.map((fact) => make("span", {}, fact))),
    make("h3", {class: "chips-title"}, "IoU by class, worst first"),
    make("ul", {class: "chips number"}, ...ranked.map(([c, iou]) =>
      make("li", {}, swatch(c), make("span", {class: "name-text"}, named(c)), bar(iou), value(iou)))));
}

function imageTable() {
  const step = 100, opened = new Map(); // rows with an open panel, by image
  const filter = byId("filter"), body = make("tbody");
  let limit = step;

  function nameCell(image) {
    const thumbs = image.pictures ? make("span", {class: "thumbs"}, ...["photo", "errors"].map((kind) =>
      make("img", {src: image.pictures[kind], alt: "", loading: "lazy", decoding: "async"}))) : null;
    return make("button", {class: "open", type: "button", "aria-expanded": String(opened.has(image)), onclick: (event) =>
      toggle(image, event.currentTarget)}, thumbs, make("span", {class: "name-text"}, image.name));
  }
  const column = (title, key, kind, first, show) => ({
    title, class: kind, first, value: (image) => image[key], cell: (image) => (exists(image[key]) ? show(image[key]) : absent()),
  });
  const iou = column("Mean IoU", "iou", "", "ascending", (v) => make("span", {}, bar(v), value(v)));
  const columns = [
    {title: "Image", class: "name", first: "ascending", value: (image) => image.name, cell: nameCell},
    iou,
    column("Accuracy", "accuracy", "wide", "ascending", (v) => share(v)),
    column("Dice", "dice", "wide", "ascending", (v) => share(v)),
    ...(hasScores ? [column("Loss", "loss", "wide", "descending", (v) => v.toFixed(3))] : []),
    column("ms", "seconds", "wide", "descending", (v) => (1000 * v).toPrecision(3)),
  ];
  const order = {column: iou, direction: "ascending"};

  function toggle(image, button) {
    const open = opened.get(image), row = button.closest("tr");
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      open.remove();
      opened.delete(image);
      return;
    }
    opened.set(image, make("tr", {class: "detail"}, make("td", {colspan: columns.length}, panel(image))));
    row.after(opened.get(image));
  }

  function redraw() {
    const wanted = filter.value.trim().toLowerCase();
    const found = data.images.filter((image) => image.name.toLowerCase().includes(wanted));
    found.sort(compareBy(order.column, order.direction));
    const rows = [];
    for (const image of found.slice(0, limit)) {
      rows.push(make("tr", {}, ...columns.map((k) =>
        make(k.class === "name" ? "th" : "td", {class: k.class, scope: k.class === "name" ? "row" : null}, k.cell(image)))));
      if (opened.has(image)) rows.push(opened.get(image));
    }
    body.replaceChildren(...rows);
    byId("images-count").textContent = wanted ? count(found.length) + " of " + plural(data.images.length, "image") :
      plural(data.images.length, "image");
    const more = (text, amount) => make("button", {type: "button", onclick: () => { limit = amount; redraw(); }}, text);
    byId("more").replaceChildren(...(found.length <= limit ? [] : [
      "The first " + limit + " of " + count(found.length) + ".", more("Show " + step + " more", limit + step), more("Show all", Infinity)]));
  }

  filter.addEventListener("input", () => { limit = step; redraw(); });
  byId("image-table").append(sortableHead(columns, order, redraw), body);
  redraw();
}

// ---- failures

function failures() {
  if (!data.failed.length) return;
  byId("failures").hidden = false;
  document.querySelector('nav a[href="#failures"]').hidden = false;
  byId("failure-list").append(...data.failed.map(([name, sentence]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, sentence))));
}

about();
summary();
classTable();
confusionMatrix();
mostConfused();
curves();
imageTable();
failures();
