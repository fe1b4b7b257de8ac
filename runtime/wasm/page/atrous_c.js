"use strict";

// atrous_c.h for JavaScript: the module's functions, with structs, handles and statuses put away. Runs where the module
// does, in a worker. tests/programs/wasm/layouts compares the places of fields with what the compiler has.

// Places of the fields that are used here, in bytes, as wasm32 has them.
const layouts = {
  atrous_image: {bytes: 20, pixels: 0, width: 4, height: 8, channels: 12, row_bytes: 16},
  atrous_model_options: {bytes: 40, size: 0, threads: 24},
  atrous_model_info: {bytes: 68, size: 0, architecture: 4, task: 8, classes: 12, background: 20, has_masks: 24, palette: 28},
  atrous_session_options: {bytes: 16, size: 0, threads: 4, memory_limit: 8},
  atrous_segment_options: {bytes: 72, size: 0, want: 4, resize: 8, width: 12},
  atrous_result_info: {bytes: 64, size: 0, width: 4, height: 8, labels: 12, confidence: 16, input_width: 28, input_height: 32,
    instances: 36, prepare_seconds: 40, network_seconds: 48, label_seconds: 56},
  atrous_instance: {bytes: 28, size: 0, x1: 4, y1: 8, x2: 12, y2: 16, score: 20, label: 24},
};
const constants = {ATROUS_INSTANCES: 1, ATROUS_CONFIDENCE: 1, ATROUS_RESIZE_AS_MODEL: 0, ATROUS_RESIZE_SHORTER: 2};

// AtrousError: a call that failed; code is the status in words ("malformed"), the message the library's sentence.
class AtrousError extends Error {
  constructor(code, sentence) {
    super(sentence);
    this.code = code;
  }
}

class Atrous {
  // module: what createAtrousModule() promises.
  constructor(module) { this.module = module; }

  version() { return this.text(this.module._atrous_version()); }

  // Memory grows, so that views are made anew.
  get bytes() { return this.module.HEAPU8; }
  get view() { return new DataView(this.bytes.buffer); }

  text(at) {
    at >>>= 0;
    return new TextDecoder().decode(this.bytes.slice(at, this.bytes.indexOf(0, at)));
  }

  check(status) {
    if (status !== 0)
      throw new AtrousError(this.text(this.module._atrous_status_name(status)), this.text(this.module._atrous_last_error()));
  }

  // Calls what() with so many bytes of the module's memory, zeros, which last as long as that.
  withBytes(count, what) {
    const at = this.module._malloc(Math.max(count, 1)) >>> 0;
    if (at === 0) throw new AtrousError("limit", `out of memory: ${count} bytes`);
    try {
      this.bytes.fill(0, at, at + count);
      return what(at);
    } finally {
      this.module._free(at);
    }
  }

  withCopy(bytes, what) {
    return this.withBytes(bytes.length, (at) => {
      this.bytes.set(bytes, at);
      return what(at);
    });
  }

  withText(text, what) { return this.withCopy(new TextEncoder().encode(text + "\0"), what); }

  // A struct of that name, its size set where it has one.
  withStruct(name, what) {
    const layout = layouts[name];
    return this.withBytes(layout.bytes, (at) => {
      if ("size" in layout) this.view.setUint32(at + layout.size, layout.bytes, true);
      return what(at, layout);
    });
  }

  // What call(out) gives through its last argument.
  handle(call) {
    return this.withBytes(4, (out) => {
      this.check(call(out));
      return this.view.getUint32(out, true);
    });
  }

  // The RGB picture in a file: {width, height, pixels}, pixels a view that is valid within what() alone.
  decode(file, name, what) {
    const picture = this.withText(name, (title) => this.withCopy(file, (at) =>
      this.handle((out) => this.module._atrous_picture_decode(at, file.length, title, out))));
    try {
      return this.withStruct("atrous_image", (image, field) => {
        this.module._atrous_picture_image(image, picture); // returns a struct: its place is the first argument
        const view = this.view, at = view.getUint32(image + field.pixels, true);
        const width = view.getInt32(image + field.width, true), height = view.getInt32(image + field.height, true);
        return what({width, height, pixels: this.bytes.subarray(at, at + 3 * width * height)});
      });
    } finally {
      this.module._atrous_picture_free(picture);
    }
  }

  loadModel(file, name, threads) {
    return this.withText(name, (title) => this.withCopy(file, (at) => this.withStruct("atrous_model_options", (options, field) => {
      this.view.setInt32(options + field.threads, threads, true);
      return this.handle((out) => this.module._atrous_model_load_memory(at, file.length, title, options, out));
    })));
  }

  freeModel(model) { this.module._atrous_model_free(model); }

  // {architecture, instances, hasMasks, classes, palette, background}
  modelInfo(model) {
    return this.withStruct("atrous_model_info", (info, field) => {
      this.check(this.module._atrous_model_get_info(model, info));
      const view = this.view, count = view.getInt32(info + field.classes, true);
      const palette = view.getUint32(info + field.palette, true);
      return {
        architecture: this.text(view.getUint32(info + field.architecture, true)),
        instances: view.getInt32(info + field.task, true) === constants.ATROUS_INSTANCES,
        hasMasks: view.getInt32(info + field.has_masks, true) !== 0,
        classes: Array.from({length: count}, (_, i) => this.text(this.module._atrous_model_class_name(model, i))),
        palette: this.bytes.slice(palette, palette + 3 * count),
        background: view.getInt32(info + field.background, true),
      };
    });
  }

  // memoryLimit: bytes, weights included; 0: none.
  newSession(model, threads, memoryLimit) {
    return this.withStruct("atrous_session_options", (options, field) => {
      this.view.setInt32(options + field.threads, threads, true);
      this.view.setBigUint64(options + field.memory_limit, BigInt(memoryLimit), true);
      return this.handle((out) => this.module._atrous_session_new(model, options, out));
    });
  }

  freeSession(session) { this.module._atrous_session_free(session); }

  // RGBA pixels -> a result. shorterSide: what the photo is brought to; 0: as the model was published.
  segment(session, {width, height, pixels}, wantConfidence, shorterSide) {
    return this.withCopy(pixels, (at) => this.withStruct("atrous_image", (image, of_image) =>
      this.withStruct("atrous_segment_options", (options, field) => {
        const view = this.view;
        view.setUint32(image + of_image.pixels, at, true);
        view.setInt32(image + of_image.width, width, true);
        view.setInt32(image + of_image.height, height, true);
        view.setInt32(image + of_image.channels, 4, true);
        view.setUint32(options + field.want, wantConfidence ? constants.ATROUS_CONFIDENCE : 0, true);
        view.setInt32(options + field.resize, shorterSide ? constants.ATROUS_RESIZE_SHORTER : constants.ATROUS_RESIZE_AS_MODEL, true);
        view.setInt32(options + field.width, shorterSide, true);
        return this.handle((out) => this.module._atrous_segment(session, image, options, out));
      })));
  }

  freeResult(result) { this.module._atrous_result_free(result); }

  // {width, height, labels, confidence, inputWidth, inputHeight, instances, seconds}: labels, and confidence where it is
  // not null, are views that are valid until the next call; instances is their number.
  resultInfo(result) {
    return this.withStruct("atrous_result_info", (info, field) => {
      this.check(this.module._atrous_result_get_info(result, info));
      const view = this.view, integer = (name) => view.getInt32(info + field[name], true);
      const seconds = (name) => view.getFloat64(info + field[name], true);
      const width = integer("width"), height = integer("height"), pixels = width * height;
      const labels = view.getUint32(info + field.labels, true), confidence = view.getUint32(info + field.confidence, true);
      return {
        width, height,
        labels: this.bytes.subarray(labels, labels + pixels),
        confidence: confidence ? new Float32Array(this.bytes.buffer, confidence, pixels) : null,
        inputWidth: integer("input_width"), inputHeight: integer("input_height"), instances: integer("instances"),
        seconds: {prepare: seconds("prepare_seconds"), network: seconds("network_seconds"), label: seconds("label_seconds")},
      };
    });
  }

  instance(result, index) {
    return this.withStruct("atrous_instance", (instance, field) => {
      this.check(this.module._atrous_result_get_instance(result, index, instance));
      const number = (name) => this.view.getFloat32(instance + field[name], true);
      return {x1: number("x1"), y1: number("y1"), x2: number("x2"), y2: number("y2"), score: number("score"),
        label: this.view.getInt32(instance + field.label, true)};
    });
  }

  // Calls what(mask) for each of so many instances, in turn: a view, 1 where the instance is, valid within what() alone.
  masks(result, count, pixels, what) {
    this.withBytes(pixels, (at) => {
      for (let i = 0; i < count; ++i) {
        this.check(this.module._atrous_result_get_mask(result, i, 0, at, pixels));
        what(this.bytes.subarray(at, at + pixels), i);
      }
    });
  }
}
