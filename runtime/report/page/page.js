// The page of label maps, drawn from the evaluation it carries (runtime/report/report_data.cc).

const hasScores = data.curves.length > 0;

// A share that is not zero is not shown as zero.
const smallPercent = (value) => (value > 0 && value < 0.0005 ? "<0.1%" : percent(value));

function compact(n) {
  for (const [unit, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]])
    if (n >= unit) return (n / unit).toPrecision(3) + letter;
  return String(n);
}

// ---- summary

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

// ---- classes

function scoresOfClasses() {
  const neither = "neither in the truth nor predicted", unseen = "not in the truth", uncalled = "never predicted";
  const column = (title, key, why) => ({
    title, class: "", first: "descending", value: (c) => c[key], cell: (c) => ratio(c[key], why),
  });
  const iou = column("IoU", "iou", neither);
  iou.cell = (c) => (exists(c.iou) ? make("span", {}, bar(c.iou), value(c.iou)) : absent(neither));
  classTable([
    iou, column("Dice", "dice", neither), column("Precision", "precision", uncalled), column("Recall", "recall", unseen),
    ...(hasScores ? [column("AP", "ap", unseen)] : []),
    {title: "Pixels", class: "", hint: "of the truth", first: "descending", value: (c) => c.truth, cell: (c) => count(c.truth)},
  ], "In percent, over the pixels of all images.");
}

// ---- confusion matrix

const rowSums = data.confusion.map((row) => row.reduce((a, b) => a + b, 0));

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

// ---- images

function imagePanel(image) {
  const facts = [image.width + " \u00d7 " + image.height + " compared", plural(image.pixels, "pixel") + " counted"];
  if (image.shown) facts.push("pictures reduced to " + image.shown.join(" \u00d7 "));
  for (const [key, title] of [["iou", "mean IoU"], ["accuracy", "pixel accuracy"], ["dice", "mean Dice"]])
    if (exists(image[key])) facts.push(title + " " + percent(image[key]));
  if (exists(image.loss)) facts.push("loss " + image.loss.toFixed(3));
  const ranked = [...image.classes].sort((a, b) => a[1] - b[1]);
  return panel(image, {
    kinds: [["photo", "Photo"], ["truth", "Truth"], ["prediction", "Prediction"], ["errors", "Errors"]],
    above: "prediction", opacity: 60, keys: ["wrong", "right", "void"], facts,
    below: [make("h3", {class: "chips-title"}, "IoU by class, worst first"),
      make("ul", {class: "chips number"}, ...ranked.map(([c, iou]) =>
        make("li", {}, swatch(c), make("span", {class: "name-text"}, named(c)), bar(iou), value(iou))))],
  });
}

function images() {
  const iou = imageColumn("Mean IoU", "iou", "", "ascending", (v) => make("span", {}, bar(v), value(v)));
  imageTable([
    iou,
    imageColumn("Accuracy", "accuracy", "wide", "ascending", (v) => share(v)),
    imageColumn("Dice", "dice", "wide", "ascending", (v) => share(v)),
    ...(hasScores ? [imageColumn("Loss", "loss", "wide", "descending", (v) => v.toFixed(3))] : []),
    imageColumn("ms", "seconds", "wide", "descending", (v) => (1000 * v).toPrecision(3)),
  ], ["photo", "errors"], iou, imagePanel);
}

about();
summary();
scoresOfClasses();
confusionMatrix();
mostConfused();
drawCurves(hasScores ? [{title: "", measure: "AP", curves: data.curves, ap: (c) => classes[c].ap}] : []);
images();
failures();
