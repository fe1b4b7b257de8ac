"use strict";

// Pictures from label maps, as runtime/drawing/pictures.cc makes them, with classes that are left out.

// Pixels that have another value within `reach` above, below, left or right of them, as 1.
function edgesOf(map, width, height, reach) {
  const edge = new Uint8Array(map.length);
  for (let shift = 1; shift <= reach; ++shift) {
    for (let y = 0, i = 0; y < height; ++y, i = y * width) {
      for (let x = shift; x < width; ++x)
        if (map[i + x] !== map[i + x - shift]) edge[i + x] = edge[i + x - shift] = 1;
      if (y >= shift)
        for (let x = 0, above = i - shift * width; x < width; ++x)
          if (map[i + x] !== map[above + x]) edge[i + x] = edge[above + x] = 1;
    }
  }
  return edge;
}

const contourWidth = (width, height) => 1 + Math.floor((Math.max(width, height) - 1) / 800);

// Where red, green and blue of a byte go at this strength, 0..1: v + alpha * (colour - v), rounded.
function blendTables(palette, alpha) {
  alpha = Math.fround(alpha);
  const tables = new Uint8Array(palette.length * 256);
  for (let i = 0, to = 0; i < palette.length; ++i)
    for (let v = 0; v < 256; ++v) tables[to++] = Math.fround(v + Math.fround(alpha * (palette[i] - v))) + 0.5;
  return tables;
}

// Nearest values of a map for another size.
function scaledMap(map, width, height, toWidth, toHeight) {
  if (width === toWidth && height === toHeight) return map;
  const out = new Uint8Array(toWidth * toHeight);
  for (let y = 0, to = 0; y < toHeight; ++y) {
    const row = width * Math.floor((y + 0.5) * height / toHeight);
    for (let x = 0; x < toWidth; ++x) out[to++] = map[row + Math.floor((x + 0.5) * width / toWidth)];
  }
  return out;
}

// RGBA pixels of a photo and its label map -> RGBA. view: "overlay", the photo tinted, regions outlined; "mask", colours
// alone; "cutout", the photo. shown[label]: whether the class is; without it an overlay has the photo, the others nothing.
// edge: of edgesOf(). An overlay leaves the background as it is.
function paint(photo, labels, edge, {view, alpha, shown, palette, background}) {
  const out = new Uint8ClampedArray(photo.length), tables = view === "overlay" ? blendTables(palette, alpha) : null;
  for (let i = 0, p = 0; i < labels.length; ++i, p += 4) {
    const label = labels[i], colour = 3 * label;
    if (view === "cutout" || (view === "overlay" && (!shown[label] || label === background))) {
      if (view === "cutout" && !shown[label]) continue;
      out[p] = photo[p];
      out[p + 1] = photo[p + 1];
      out[p + 2] = photo[p + 2];
    } else if (view === "mask" || edge[i]) {
      if (!shown[label]) continue;
      out[p] = palette[colour];
      out[p + 1] = palette[colour + 1];
      out[p + 2] = palette[colour + 2];
    } else {
      for (let c = 0; c < 3; ++c) out[p + c] = tables[256 * (colour + c) + photo[p + c]];
    }
    out[p + 3] = 255;
  }
  return out;
}

// Boxes with captions: [{x1, y1, x2, y2, colour, caption}] in the canvas's pixels.
function paintBoxes(pen, boxes) {
  const size = Math.max(12, Math.round(Math.max(pen.canvas.width, pen.canvas.height) / 55));
  pen.lineWidth = Math.max(2, size / 8);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const {x1, y1, x2, y2, colour: [red, green, blue], caption} of [...boxes].reverse()) {
    pen.strokeStyle = pen.fillStyle = `rgb(${red}, ${green}, ${blue})`;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const width = pen.measureText(caption).width + size * 0.7, height = size * 1.4;
    const left = Math.max(0, Math.min(x1, pen.canvas.width - width)), top = y1 >= height ? y1 - height : y1;
    pen.fillRect(left, top, width, height);
    pen.fillStyle = 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000000" : "#ffffff";
    pen.fillText(caption, left + size * 0.35, top + height / 2);
  }
}
