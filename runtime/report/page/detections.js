// The page of detections, drawn from the evaluation it carries (runtime/report/detection_report.cc). Boxes are
// always measured, masks may be.

const geometries = [["boxes", "box"], ["masks", "mask"]].filter(([key]) => data.summary[key]);

// ---- summary

function summary() {
  const {boxes, masks} = data.summary, c = data.counts;
  const shown = (value) => (exists(value) ? percent(value, 2) : null);
  const tiles = [
    tile(masks ? "Mask AP" : "Box AP", shown((masks || boxes).ap), "mean over IoU 0.50 to 0.95 and categories", "main"),
    masks ? tile("Box AP", shown(boxes.ap)) : null,
    tile("Box AP50", shown(boxes.ap50)),
    masks ? tile("Mask AP50", shown(masks.ap50)) : tile("Box AP75", shown(boxes.ap75)),
    tile("Box AR", shown(boxes.ar100), "100 detections an image"),
    masks ? tile("Mask AR", shown(masks.ar100), "100 detections an image") : null,
    tile("Images", count(c.images)),
    tile("Truths", count(c.truths), c.crowds ? "and " + plural(c.crowds, "crowd") : ""),
    tile("Detections", count(c.detections)),
    exists(data.seconds) ? tile("Time", duration(data.seconds)) : null,
    data.seconds > 0 ? tile("Images per second", (c.images / data.seconds).toPrecision(3)) : null,
    tile("Failures", count(data.failed.length), "", data.failed.length ? "bad" : ""),
  ];
  byId("summary").append(...tiles.filter((t) => t));
  byId("summary").after(...data.notes.map((note) => make("p", {class: "note"}, note)));
}

const allIous = "0.50 to 0.95";
const figures = [
  ["ap", "AP", allIous, "all", 100], ["ap50", "AP50", "0.50", "all", 100], ["ap75", "AP75", "0.75", "all", 100],
  ["ap_small", "AP, small", allIous, "small", 100], ["ap_medium", "AP, medium", allIous, "medium", 100],
  ["ap_large", "AP, large", allIous, "large", 100],
  ["ar1", "AR, 1 detection", allIous, "all", 1], ["ar10", "AR, 10 detections", allIous, "all", 10],
  ["ar100", "AR, 100 detections", allIous, "all", 100], ["ar_small", "AR, small", allIous, "small", 100],
  ["ar_medium", "AR, medium", allIous, "medium", 100], ["ar_large", "AR, large", allIous, "large", 100],
];

function figureTable() {
  const titles = ["Measure", "IoU", "Area", "Detections", ...geometries.map(([, title]) => title === "box" ? "Box" : "Mask")];
  const kinds = ["left", "left wide", "left wide", "wide"];
  byId("figure-table").append(
    make("thead", {}, make("tr", {}, ...titles.map((title, i) => make("th", {scope: "col", class: "plain " + (kinds[i] || "")}, title)))),
    make("tbody", {}, ...figures.map(([key, ...about]) => make("tr", {},
      ...about.map((text, i) => make(i ? "td" : "th", {class: kinds[i], scope: i ? null : "row"}, String(text))),
      ...geometries.map(([geometry]) => {
        const v = data.summary[geometry][key];
        return make("td", {}, exists(v) ? make("span", {}, bar(v), value(v)) : absent("no such truths"));
      })))));
}

// ---- categories

function scoresOfClasses() {
  const unseen = "not in the truth";
  const first = geometries[0][0], withBar = (v) => make("span", {}, bar(v), value(v));
  const column = (geometry, name, key, title, kind = "") => ({
    title: title + " " + name, class: kind, first: "descending", value: (c) => c[geometry][key],
    cell: (c) => (!exists(c[geometry][key]) ? absent(unseen) :
      (key === "ap" && geometry === first ? withBar : share)(c[geometry][key])),
  });
  const number = (title, key, hint, kind) => ({
    title, hint, class: kind, first: "descending", value: (c) => c[key], cell: (c) => count(c[key]),
  });
  classTable([
    ...geometries.map(([geometry, name]) => column(geometry, name, "ap", "AP")),
    ...geometries.flatMap(([geometry, name]) => [column(geometry, name, "ap50", "AP50", "wide"),
      column(geometry, name, "ap75", "AP75", "wide")]),
    ...(geometries.length > 1 ? [] : [column("boxes", "box", "ar", "AR", "wide")]),
    number("Truths", "truths", "without crowds", ""),
    number("Detections", "detections", "at most 100 an image", "wide"),
  ], "In percent.");
}

// ---- images

// Each class once, and how often: [[class, text], ...].
function tallied(list) {
  const all = new Map();
  for (const [c, score] of list) all.set(c, [...(all.get(c) || []), score]);
  return [...all].map(([c, scores]) => [c, exists(scores[0]) ? scores.map((s) => s.toFixed(2)).join(" ") :
    scores.length > 1 ? "\u00d7 " + scores.length : ""]);
}

function imagePanel(image) {
  const facts = [image.width + " \u00d7 " + image.height, plural(image.right.length, "truth") + " found",
    image.missed.length + " missed", plural(image.wrong.length, "detection") + " wrong"];
  if (exists(image.f1)) facts.push("F1 " + percent(image.f1));
  const listed = (title, list) => (!list.length ? [] : [make("h3", {class: "chips-title"}, title),
    make("ul", {class: "chips number"}, ...tallied(list).map(([c, text]) =>
      make("li", {}, swatch(c), make("span", {class: "name-text"}, named(c)), make("span", {class: "note"}, text))))]);
  return panel(image, {
    kinds: [["photo", "Photo"], ["truth", "Truth"], ["found", "Found"], ["errors", "Errors"]],
    above: "found", opacity: 100, keys: ["wrong", "missed", "right"], facts,
    below: [...listed("Missed", image.missed.map((c) => [c])), ...listed("Wrong, with their scores", image.wrong),
      ...listed("Right, with their scores", image.right)],
  });
}

function images() {
  const f1 = imageColumn("F1", "f1", "", "ascending", (v) => make("span", {}, bar(v), value(v)));
  const number = (title, key, hint, kind) => ({
    title, hint, class: kind, first: "descending", value: (image) => image[key].length, cell: (image) => count(image[key].length),
  });
  imageTable([f1, number("Missed", "missed", "truths", "wide"), number("Wrong", "wrong", "detections", "wide"),
    number("Right", "right", "detections", "wide")], ["photo", "errors"], f1, imagePanel);
  const kept = data.images.filter((image) => image.pictures).length;
  byId("images-note").textContent = "At box IoU 0.5, of the detections that score " + data.score + " and more. " +
    (kept === data.images.length ? "" : kept ? "There are pictures of the " + count(kept) + " worst." : "There are no pictures.");
}

about();
summary();
figureTable();
scoresOfClasses();
drawCurves(geometries.map(([geometry, name]) => ({
  title: name === "box" ? "Boxes" : "Masks", measure: "AP50", curves: data.curves[geometry], ap: (c) => classes[c][geometry].ap50,
})));
images();
failures();
