// usage: node ort.js MODEL.onnx INPUT.npy OUTPUT.bin THREADS WARMUP RUNS [LEVEL OPTIMISED.onnx]
// Runs ONNX Runtime and prints {"load_ms", "first_ms", "ms": [...], "peak_resident_bytes"}; writes the last output's floats.
// LEVEL: how far to optimise the graph (default: all); OPTIMISED.onnx: where to write the graph that then runs.
const fs = require('fs');
const ort = require('onnxruntime-node');

const [model, input, output, threads, warmup, runs, level = 'all', optimised] = process.argv.slice(2);

// A .npy of version 1: magic, version, header length, header, floats.
function readNpy(path) {
  const file = fs.readFileSync(path);
  const end = 10 + file.readUInt16LE(8);
  const shape = /'shape': \(([^)]*)\)/.exec(file.toString('latin1', 10, end))[1].split(',').filter(s => s.trim()).map(Number);
  const bytes = file.subarray(end);
  return new ort.Tensor('float32', new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), shape);
}

(async () => {
  const begin = performance.now();
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: level,
    ...(optimised && {optimizedModelFilePath: optimised})});
  const loaded = performance.now();
  const feeds = {[session.inputNames[0]]: readNpy(input)};
  const times = [];
  let last;
  for (let i = 0; i < 1 + Number(warmup) + Number(runs); ++i) {
    const start = performance.now();
    last = await session.run(feeds);
    times.push(performance.now() - start);
  }
  const logits = last[session.outputNames[0]].data;
  fs.writeFileSync(output, Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength));
  console.log(JSON.stringify({
    load_ms: loaded - begin, first_ms: times[0], ms: times.slice(1 + Number(warmup)),
    peak_resident_bytes: 1024 * Number(/VmHWM:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1])}));
})();
