// What the reports' pages share: elements, tables that sort, curves, pictures. Every name enters as text, never as
// markup. Ratios that do not exist are null.

const data = JSON.parse(document.getElementById("evaluation").textContent);
const classes = data.classes;

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

// ---- title and tiles

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

const named = (c) => classes[c].name;

// A row a class: its number and name, then columns of the page's own.
function classTable(own, note) {
  const index = {title: "#", class: "wide", first: "ascending", value: (c) => c.index, cell: (c) => String(c.index)};
  const columns = [
    index,
    {title: "Class", class: "name", first: "ascending", value: (c) => c.name,
     cell: (c) => make("span", {class: "with-swatch"}, swatch(c.index), make("span", {class: "name-text"}, c.name))},
    ...own,
  ];
  const rows = classes.map((c, i) => ({...c, index: i}));
  const body = make("tbody");
  const order = {column: index, direction: "ascending"};
  const redraw = () => body.replaceChildren(...[...rows].sort(compareBy(order.column, order.direction)).map((c) =>
    make("tr", {}, ...columns.map((k) =>
      make(k.class === "name" ? "th" : "td", {class: k.class, scope: k.class === "name" ? "row" : null}, k.cell(c))))));
  byId("class-table").append(sortableHead(columns, order, redraw), body);
  byId("classes-note").textContent = note + " A column's title sorts by it.";
  redraw();
}

// ---- colours

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

function whenSchemeChanges(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("printing"); redraw(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); redraw(); });
}

// ---- precision-recall curves

// A line has to stand out from the page, whatever colour the class has: towards the text's colour until it does.
function legible(colour) {
  const surface = schemeColour("--surface"), text = schemeColour("--text"), own = rgbOf(colour);
  let t = 0;
  while (t < 1 && contrast(mix(own, text, t), surface) < 2.2) t += 0.05;
  return css(mix(own, text, t));
}

// Of each set a curve a class, [[threshold, precision, recall], ...], and the areas: {title, measure, curves, ap(c)}.
// Titles matter where there are several, of which one is shown.
function drawCurves(sets) {
  if (!sets.length) {
    byId("curves").hidden = true;
    document.querySelector('nav a[href="#curves"]').hidden = true;
    return;
  }
  let set = sets[0];
  const svg = byId("plot"), left = 40, top = 12, width = 424, height = 340;
  const x = (recall) => left + recall * width, y = (precision) => top + (1 - precision) * height;
  const drawable = () => classes.map((_, c) => c).filter((c) => set.curves[c].length > 0);
  const ranked = drawable().sort((a, b) => set.ap(a) - set.ap(b));
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
  const path = (c) => set.curves[c].reduce((d, [, precision, recall]) => d + `L${x(recall).toFixed(1)} ${y(precision).toFixed(1)}`,
    `M${x(0)} ${y(set.curves[c][0][1]).toFixed(1)}`);

  function draw() {
    const faint = drawable().filter((c) => !picked.has(c)), strong = drawable().filter((c) => picked.has(c));
    svg.replaceChildren(...axes(), ...[...faint, ...strong].map((c) => makeSvg("path", {
      class: picked.has(c) ? "curve picked" : "curve", d: path(c), "--colour": legible(classes[c].colour),
    }, makeSvg("title", {}, named(c)))), dot);
  }

  svg.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null;
    for (const c of picked)
      for (const [threshold, precision, recall] of set.curves[c]) {
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

  const legend = () => byId("curve-legend").replaceChildren(...drawable().map((c) => make("button", {
    type: "button", "aria-pressed": String(picked.has(c)), onclick: (event) => {
      if (!picked.delete(c)) picked.add(c);
      event.currentTarget.setAttribute("aria-pressed", String(picked.has(c)));
      draw();
    },
  }, swatch(c), make("span", {class: "name-text"}, named(c)), make("span", {}, set.measure + " ", ratio(set.ap(c))))));
  if (sets.length > 1)
    byId("plot").before(make("div", {class: "layers"}, make("fieldset", {"aria-label": "Curves shown"}, ...sets.map((one) =>
      make("label", {}, make("input", {type: "radio", name: "curves shown", checked: one === set, onchange: () => {
        set = one;
        legend();
        draw();
      }}), one.title)))));
  whenSchemeChanges(draw);
  legend();
  draw();
}

// ---- images

// Small pictures are shown in their own pixels, not blurred.
function picture(source, text, onload = () => {}) {
  return make("img", {src: source, alt: text, loading: "lazy", decoding: "async", onload: (event) => {
    const image = event.currentTarget;
    image.classList.toggle("pixelated", image.naturalWidth < image.clientWidth);
    onload(image);
  }});
}

// The photo below, one of the pictures over it, as opaque as the slider says.
function stage(image, kinds, above, opacity) {
  const panel = () => box.closest(".panel");
  const photo = picture(image.pictures.photo, "Photo of " + image.name, (loaded) =>
    panel().style.setProperty("--aspect", loaded.naturalWidth + " / " + loaded.naturalHeight));
  const layer = picture(image.pictures[above], "");
  const box = make("div", {class: "stage"}, photo, layer);
  const amount = make("span");
  const slider = make("input", {type: "range", min: 0, max: 100, value: opacity, "aria-label": "From the photo to the picture over it",
    oninput: () => fade()});
  const fade = () => {
    layer.style.opacity = slider.value / 100;
    amount.textContent = slider.value + "%";
  };
  const choices = kinds.slice(1).map(([kind, title]) => make("label", {}, make("input", {
    type: "radio", name: "layer of " + image.name, checked: kind === above,
    onchange: () => { layer.src = image.pictures[kind]; },
  }), title));
  fade();
  return make("div", {}, box, make("div", {class: "layers"}, make("fieldset", {"aria-label": "Picture over the photo"}, ...choices),
    make("label", {class: "fade"}, make("span", {}, "Photo"), slider, amount)));
}

function allPictures(image, kinds, keys) {
  const key = (colour, text) => make("span", {class: "key"}, make("span", {class: "swatch", "--colour": `var(--${colour})`}), text);
  return make("div", {class: "four"}, ...kinds.map(([kind, title]) => make("figure", {},
    picture(image.pictures[kind], title + " of " + image.name),
    make("figcaption", {}, title, ...(kind !== "errors" ? [] :
      keys.map((name) => key(name, name)))))));
}

// Kinds of pictures: [[kind, title], ...], the photo first; the one above it and its opacity in percent; the errors'
// colours; facts of the image; what is below.
function panel(image, {kinds, above, opacity, keys, facts, below}) {
  return make("div", {class: "panel", "--aspect": image.width + " / " + image.height},
    ...(image.pictures ? [stage(image, kinds, above, opacity), allPictures(image, kinds, keys)] :
      [make("p", {class: "note"}, "No pictures of this image were kept.")]),
    make("div", {class: "facts"}, ...facts.map((fact) => make("span", {}, fact))), ...below);
}

// Columns beside the name's; of a name the pictures that stand small before it; the column that rows are sorted by.
const imageColumn = (title, key, kind, first, show) => ({
  title, class: kind, first, value: (image) => image[key], cell: (image) => (exists(image[key]) ? show(image[key]) : absent()),
});
function imageTable(own, thumbs, sortedBy, panelOf) {
  const step = 100, opened = new Map(); // rows with an open panel, by image
  const filter = byId("filter"), body = make("tbody");
  let limit = step;

  function nameCell(image) {
    const small = image.pictures ? make("span", {class: "thumbs"}, ...thumbs.map((kind) =>
      make("img", {src: image.pictures[kind], alt: "", loading: "lazy", decoding: "async"}))) : null;
    return make("button", {class: "open", type: "button", "aria-expanded": String(opened.has(image)), onclick: (event) =>
      toggle(image, event.currentTarget)}, small, make("span", {class: "name-text"}, image.name));
  }
  const columns = [{title: "Image", class: "name", first: "ascending", value: (image) => image.name, cell: nameCell}, ...own];
  const order = {column: sortedBy, direction: sortedBy.first};

  function toggle(image, button) {
    const open = opened.get(image), row = button.closest("tr");
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      open.remove();
      opened.delete(image);
      return;
    }
    opened.set(image, make("tr", {class: "detail"}, make("td", {colspan: columns.length}, panelOf(image))));
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

