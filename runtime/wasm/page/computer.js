"use strict";

// Computer: whoever segments the page's photos. page.js knows nothing else of where that happens: worker_computer.js
// computes in the browser, a server's computer asks the server that the page came from. Either script defines
//
//   makeComputer() -> Computer
//
// and index.html loads exactly one of them, by the tag <script src="worker_computer.js">, between this file and page.js. A
// server that serves the page replaces that name by its own script's.
//
// Computer:
//   where          Sentence for the head of the page: "Your photo stays on this device: it is computed here."
//   takesModels    Whether loadModel() may be called: whether the page takes .safetensors and .pth files.
//   start(onProgress) -> Promise<Model>
//                  Makes ready the network that is used unless another is given. Called before anything else, and again
//                  where it failed.
//   loadModel(file, onProgress) -> Promise<Model>
//                  The checkpoint in a File becomes the network of what follows; after a failure the one before it
//                  stays. Only where takesModels.
//   defaultModel(onProgress) -> Promise<Model>
//                  Back to start()'s. Only where takesModels.
//   open(file) -> Promise<Photo>
//                  Decodes a picture: a File, or a Blob with a name. EXIF's orientation is applied.
//   segment(photo) -> Promise<Result>
//                  A photo of open(), or one of the page's own making (a camera's frame). Its pixels stay valid.
//   cancel()       Ends what open(), segment() or loadModel() is doing: its promise is rejected with the code "stopped".
//                  The computer is as it was before that call, and the next call works.
//
// One call runs at a time; the page sees to that. Promises are rejected with a ComputerError. A computer never
// changes the document.
//
// onProgress(bytes, total): how much of a download is here; total is 0 while unknown. Not called where nothing is
// downloaded.
//
// Model:
//   name           "default", or the file's: "unet.pth".
//   builtIn        Whether it is start()'s.
//   architecture   "deeplabv3_resnet101"
//   instances      true: finds single things, with boxes; false: every pixel has a class.
//   hasMasks       Of instances: whether they have masks, or boxes alone.
//   classes        Names by index: ["sky", "building", ...].
//   palette        Uint8Array, red, green and blue of each class.
//   background     Index of the class that overlays leave as the photo is; -1: none.
//
// Photo:
//   name           "street.png"
//   width, height  Pixels, upright, as `pixels` has them.
//   pixels         Uint8ClampedArray, width * height * 4: RGBA, opaque, row by row.
//   note           Sentence about what was done to it ("It was made smaller, from 9000x6000 to 4500x3000."); "" for none.
//   file           What open() was given; null for a camera's frame.
//
// Result:
//   width, height  The photo's.
//   labels         Uint8Array, width * height: the class of each pixel. Of instances that of the one with the highest
//                  score there, 0 elsewhere.
//   confidence     Uint8Array, width * height: the label's probability, 0..1 as 0..255. Of instances null.
//   classes        [{index, pixels, share, confidence}]: the classes found, the most frequent first. share: of the
//                  photo's pixels, 0..1. confidence: the mean of the label's probability there, 0..1. Of instances [].
//   instances      [{x1, y1, x2, y2, score, label}] by falling score, corners in pixels; of label maps null.
//   instanceOf     Uint8Array, width * height: the index of the instance whose label the pixel has, 255: none. Of label
//                  maps, and where there are no masks, null.
//   inputWidth, inputHeight      What the network saw.
//   seconds        {prepare, network, label}
//   device         What computed: "WebAssembly".
//   note           Sentence about how the photo was brought to the network, where that is not as the model was
//                  published; "" for none.

// ComputerError: what went wrong, in a sentence for the page, and its code: a status of atrous_c.h in words
// ("malformed", "limit", ...), "no_simd", "no_webassembly" and "download" of browsers that cannot start, "crashed"
// where the computer had to begin anew.
class ComputerError extends Error {
  constructor(code, sentence) {
    super(sentence);
    this.code = code;
  }
}
