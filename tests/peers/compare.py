"""Times atrous against ONNX Runtime and torch on the same checkpoints and input, interleaved, and prints a table of ratios.

usage: compare.py ATROUS [--models deeplabv3_resnet50,...] [--threads 1,2] [--rounds 3] [--runs 3] [--no-torch] [--work FOLDER]
       compare.py ATROUS --graphs ../shared/data/onnx [--models fcn8s-wkentaro,...] ...
       compare.py ATROUS --int8 PHOTOS [--models fcn_resnet50,...] ...

Needs Debian's python3-torch and python3-torchvision (they make the checkpoints and export them), nodejs and npm; the
first run installs onnxruntime-node into FOLDER (default: a folder in the system's temporary one, kept for the next time).

With --graphs: the networks of other publishers, whose ONNX graphs lie in that folder without weights, beside a script
that fills them by the formula of `seeded:NAME` (Debian's python3-onnx). torch does not take part. The input has the
size that the graph was made for. Mask R-CNN gets its photo, as numbers and rounded to a PNG; its last column is the
largest distance of a box's corner from the nearest box's, in pixels.

With --int8: both sides in fp32 and in 8 bits. Ranges come from the photos (.jpg, .png) of the folder PHOTOS, for ONNX
Runtime from the first 8. Ours is `convert --int8 --max-loss 100`: no layer goes back to fp32. ONNX Runtime's is the graph
that `qdq.py` writes as quantize_static would (Debian's python3-onnx). Both stay in FOLDER for the next time. The input is
the first photo. "labels" is the share of its pixels that have the label of the same program's fp32, "cosine" compares the
logits likewise; "QLinearConv" says how many of the convolutions in ONNX Runtime's optimised graph are in 8 bits, for ours
see `atrous inspect`. --graphs may be given, too; all graphs get photos normalised with ImageNet's mean and deviation.

Each round runs every program once, each `runs` times after one warm-up, so that a machine that slows down slows all.
atrous: network, upsampling and argmax. ONNX Runtime: its run alone, which ends with the upsampled logits. torch: the
traced and frozen module. Figures are medians over all rounds; a ratio is a peer's time over ours, above 1 when atrous
is faster. "to first result" is, for atrous, the whole process `atrous segment` from a .safetensors; for ONNX Runtime,
making the session and running it once. MB are peak resident memory of the timed processes.
"""
import argparse
import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torchvision.models import segmentation

HERE = os.path.dirname(os.path.abspath(__file__))
ORT = "onnxruntime-node@1.30"
INSTANCES = ("maskrcnn_resnet50_fpn",)
# Runs a program and prints its largest resident set in KB.
PEAK = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")


class Out(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"]


def prepare(name, work):
    """The checkpoint, its ONNX export and an input, kept in `work`."""
    torch.manual_seed(0)
    paths = {kind: f"{work}/{name}.{kind}" for kind in ("pth", "onnx", "npy")}
    if all(map(os.path.exists, paths.values())):
        return paths
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=False)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, .1)
            m.running_var.uniform_(.6, 1.6)
            m.weight.data.uniform_(.7, 1.3)
    model.eval()
    x = torch.randn(1, 3, 520, 520)
    np.save(paths["npy"], x.numpy())
    torch.save(model.state_dict(), paths["pth"])
    torch.onnx.export(Out(model), x, paths["onnx"], opset_version=13, input_names=["x"], output_names=["out"])
    return paths


def graphs_in(folder):
    """Names and input sizes, NAME -> (height, width), of the graphs."""
    with open(f"{folder}/ort.tsv") as file:
        header = next(file).rstrip("\n").split("\t")
        rows = [dict(zip(header, line.rstrip("\n").split("\t"))) for line in file]
    sizes = {}
    for row in rows:
        sizes[row["network"]] = [int(n) for n in row["input"].split("x")][-2:]
    return sizes


def prepare_graph(name, folder, size, atrous, work):
    """The same for a graph without weights: both sides get the same ones, by formula."""
    paths = {"safetensors": f"{work}/{name}.safetensors", "onnx": f"{work}/{name}.onnx",
             "npy": f"{work}/{name}.npy"}
    networks = os.path.join(folder, "..", "networks")
    if not os.path.exists(paths["safetensors"]):
        whole = os.path.isdir(f"{networks}/{name}")
        drawn = f"{work}/{name}.pth"
        call("/usr/bin/python3", f"{networks}/seeded.py", f"{networks}/{name if whole else name + '-msc'}", drawn)
        if not whole:  # the graph is the network within its multi-scale wrapper
            torch.save({key.removeprefix("base."): value for key, value in torch.load(drawn).items()}, drawn)
        call(atrous, "convert", drawn, paths["safetensors"])
        os.remove(drawn)
    if not os.path.exists(paths["onnx"]):
        call("/usr/bin/python3", f"{folder}/fill.py", f"{folder}/{name}.onnx", paths["onnx"])
    if name in INSTANCES:
        call("/usr/bin/python3", f"{folder}/fill.py", "--photo", paths["npy"])
    else:
        call("/usr/bin/python3", f"{folder}/fill.py", "--input", f"1,3,{size[0]},{size[1]}", paths["npy"])
    return paths


def instances_of(paths, atrous, threads, runs, work):
    """Milliseconds of the network in each of `runs` photos behind a first one, and the boxes as x1, y1, x2, y2."""
    photos = f"{work}/photos"
    os.makedirs(photos, exist_ok=True)
    picture = np.rint(np.load(paths["npy"]).transpose(1, 2, 0) * 255).astype(np.uint8)
    for i in range(runs + 1):
        Image.fromarray(picture).save(f"{photos}/{i:03}.png")
    command = [atrous, "segment", photos, "-m", paths["safetensors"], "--threads", threads, "-o", work, "--no-mask",
               "--no-overlay"]
    said = call(*command)
    times = [float(ms) for ms in re.findall(r"\(network (\d+)\)", said)]
    found = json.loads(call(*command, "-q", "--json", "-"))
    boxes = np.array([[*i["bbox"][:2], i["bbox"][0] + i["bbox"][2], i["bbox"][1] + i["bbox"][3]]
                      for i in found if i["image_id"] == 0])
    return times[1:], boxes


def compare_instances(name, paths, options, environment):
    for threads in options.threads.split(","):
        ours, theirs, ratios, first, peak = [], [], [], [], 0
        for _ in range(options.rounds):
            times, boxes = instances_of(paths, options.atrous, threads, options.runs, options.work)
            ort = json.loads(call("node", f"{HERE}/ort.js", paths["onnx"], paths["npy"], f"{options.work}/ort.bin",
                                  threads, 1, options.runs, env=environment))
            ours.append(statistics.median(times))
            theirs.append(statistics.median(ort["ms"]))
            ratios.append(theirs[-1] / ours[-1])
            first.append(ort["load_ms"] + ort["first_ms"])
            peak = max(peak, ort["peak_resident_bytes"] / 1e6)
        alone = [options.atrous, "segment", f"{options.work}/photos/000.png", "-m", paths["safetensors"], "--threads",
                 threads, "-o", options.work, "-q"]
        own_first = to_first_result(alone)
        own_peak = int(call("/usr/bin/python3", "-c", PEAK, *alone)) / 1e3
        expected = np.fromfile(f"{options.work}/ort.bin", np.float32).reshape(-1, 4)
        if expected.shape != boxes.shape:
            sys.exit(f"{name}: {len(boxes)} boxes, ONNX Runtime has {len(expected)}")
        distance = np.abs(boxes[:, None] - expected[None]).max(axis=2).min(axis=0).max()
        print(f"| {name} | {threads} | {statistics.median(ours):.0f} | {statistics.median(theirs):.0f} | "
              f"{statistics.median(ratios):.2f} | | | {own_first:.0f} | {statistics.median(first):.0f} | {own_peak:.0f} | "
              f"{peak:.0f} | {distance:.0e} |", flush=True)


def prepare_int8(name, paths, size, options, environment):
    """The same network in 8 bits for both sides, a photo as the input, and how many convolutions run in 8 bits."""
    import qdq  # needs python3-onnx, which the table in fp32 does not

    paths = {**paths, **{kind: f"{options.work}/{name}.{kind}" for kind in ("int8.safetensors", "qdq.onnx", "photo.npy")}}
    files = sorted(file for end in ("jpg", "png") for file in glob.glob(f"{options.int8}/*.{end}"))[:8]
    inputs = []
    for i, file in enumerate(files):
        picture = np.asarray(Image.open(file).convert("RGB").resize((size[1], size[0]), Image.BILINEAR), np.float32) / 255
        picture = (picture - np.float32([.485, .456, .406])) / np.float32([.229, .224, .225])
        inputs.append(f"{options.work}/photo{i}.npy")
        np.save(inputs[-1], np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
    shutil.copy(inputs[0], paths["photo.npy"])
    if not os.path.exists(paths["int8.safetensors"]):
        call(options.atrous, "convert", paths["safetensors"], paths["int8.safetensors"], "--int8", "--calibrate",
             options.int8, "--max-loss", 100)
    optimised = f"{options.work}/optimised.onnx"

    def run_once(model, photo, level, *rest):
        call("node", f"{HERE}/ort.js", model, photo, f"{options.work}/ort.bin", 0, 0, 0, level, *rest, env=environment)
        return np.fromfile(f"{options.work}/ort.bin", np.float32)

    if not os.path.exists(paths["qdq.onnx"]):
        run_once(paths["onnx"], inputs[0], "basic", optimised)  # folds batch normalisation
        measured = f"{options.work}/ranges.onnx"
        qdq.write_ranges(optimised, measured)
        qdq.write(optimised, paths["qdq.onnx"], [run_once(measured, photo, "all") for photo in inputs])
    run_once(paths["qdq.onnx"], inputs[0], "all", optimised)
    return paths, "{} of {}".format(*qdq.convolutions(optimised))


def agreement(logits, reference):
    """Share of pixels with equal labels, and the cosine of the logits."""
    same = np.mean(logits.argmax(axis=1) == reference.argmax(axis=1))
    a, b = logits.ravel().astype(np.float64), reference.ravel().astype(np.float64)
    return f"{100 * same:.1f} %, {a @ b / np.sqrt((a @ a) * (b @ b)):.4f}"


def compare_int8(name, paths, size, options, environment):
    paths, counted = prepare_int8(name, paths, size, options, environment)
    ours, theirs = [], []
    for model in (paths["safetensors"], paths["int8.safetensors"]):
        logits = f"{options.work}/atrous.npy"
        call(options.atrous, "segment", paths["photo.npy"], "-m", model, "--logits", logits, "--no-mask", "-q")
        ours.append(np.load(logits))
    out = f"{options.work}/ort.bin"
    for model in (paths["onnx"], paths["qdq.onnx"]):
        call("node", f"{HERE}/ort.js", model, paths["photo.npy"], out, 0, 0, 0, env=environment)
        logits = np.fromfile(out, np.float32)
        theirs.append(logits.reshape(ours[0].shape) if logits.size == ours[0].size else enlarged(logits, ours[0].shape))
    for threads in options.threads.split(","):
        times = {key: [] for key in ("fp32", "int8", "ort fp32", "ort int8")}
        peak = {"int8": 0, "ort int8": 0}
        for _ in range(options.rounds):
            for key, model in (("fp32", paths["safetensors"]), ("ort fp32", paths["onnx"]),
                               ("int8", paths["int8.safetensors"]), ("ort int8", paths["qdq.onnx"])):
                if key.startswith("ort"):
                    said = json.loads(call("node", f"{HERE}/ort.js", model, paths["photo.npy"], out, threads, 1,
                                           options.runs, env=environment))
                    times[key].append(statistics.median(said["ms"]))
                else:
                    said = json.loads(call(options.atrous, "bench", model, "--size", f"{size[1]}x{size[0]}", "--threads",
                                           threads, "--warmup", 1, "--runs", options.runs, "-o", "json"))
                    times[key].append(said["median_ms"])
                if key in peak:
                    peak[key] = max(peak[key], said["peak_resident_bytes"] / 1e6)
        cells = [f"{statistics.median(values):.0f}" for values in times.values()]
        for peer, own in (("ort fp32", "fp32"), ("ort int8", "int8"), ("fp32", "int8"), ("ort fp32", "ort int8")):
            cells.append(f"{statistics.median(t / m for t, m in zip(times[peer], times[own])):.2f}")
        cells += [f"{peak['int8']:.0f}", f"{peak['ort int8']:.0f}", agreement(*ours[::-1]), agreement(*theirs[::-1]), counted]
        print(f"| {name} | {threads} | {' | '.join(cells)} |", flush=True)


def enlarged(low, shape):
    """Square low-resolution logits at another size, by bilinear interpolation."""
    side = round((low.size / shape[1]) ** 0.5)
    grown = torch.nn.functional.interpolate(torch.from_numpy(low.reshape(1, shape[1], side, side)), shape[2:],
                                            mode="bilinear", align_corners=False)
    return grown.numpy()


def call(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def to_first_result(command):
    start = time.monotonic()
    call(*command)
    return 1e3 * (time.monotonic() - start)


def load_torch(name, paths):
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=False)
    model.load_state_dict(torch.load(paths["pth"]))
    x = torch.from_numpy(np.load(paths["npy"]))
    with torch.no_grad():
        return torch.jit.freeze(torch.jit.trace(Out(model).eval(), x, check_trace=False)), x


def run_torch(model, x, threads, runs):
    torch.set_num_threads(int(threads))
    milliseconds = []
    with torch.no_grad():
        for i in range(1 + runs):
            start = time.monotonic()
            model(x)
            milliseconds.append(1e3 * (time.monotonic() - start))
    return statistics.median(milliseconds[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("atrous")
    parser.add_argument("--graphs", help="the folder of graphs without weights")
    parser.add_argument("--int8", metavar="PHOTOS", help="a folder of photos for the ranges of 8 bits")
    parser.add_argument("--models", default="fcn_resnet50,fcn_resnet101,deeplabv3_resnet50,deeplabv3_resnet101,"
                        "deeplabv3_mobilenet_v3_large,lraspp_mobilenet_v3_large")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "atrous-peers"))
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    if not os.path.exists(f"{options.work}/node_modules/onnxruntime-node"):
        call("npm", "install", "--ignore-scripts", "--prefix", options.work, ORT)
    environment = {**os.environ, "NODE_PATH": f"{options.work}/node_modules"}

    sizes = graphs_in(options.graphs) if options.graphs else {}
    if sizes and options.models == parser.get_default("models"):
        options.models = ",".join(name for name in sizes if not (options.int8 and name in INSTANCES))
    options.no_torch = options.no_torch or bool(sizes)
    if options.int8:
        print("| network | threads | atrous fp32 ms | int8 ms | ONNX Runtime fp32 ms | int8 ms | ratio fp32 | ratio int8 | "
              "atrous fp32 / int8 | ONNX Runtime fp32 / int8 | atrous MB | ONNX Runtime MB | labels, cosine: atrous | "
              "ONNX Runtime | QLinearConv |\n|---|" + "---:|" * 14)
    else:
        print(f"| {'fp32' if sizes else '520x520, fp32'} | threads | atrous ms | ONNX Runtime ms | ratio | torch ms | ratio | "
              "to first result, atrous ms | ONNX Runtime ms | atrous MB | ONNX Runtime MB | logits differ by |")
        print("|---|" + "---:|" * 11)
    for name in options.models.split(","):
        size = sizes.get(name, (520, 520))
        paths = (prepare_graph(name, options.graphs, size, options.atrous, options.work) if sizes
                 else prepare(name, options.work))
        if name in INSTANCES:
            if options.int8:
                sys.exit(f"{name}: --int8 compares semantic networks only")
            compare_instances(name, paths, options, environment)
            continue
        safetensors, logits = f"{options.work}/{name}.safetensors", f"{options.work}/atrous.npy"
        if not os.path.exists(safetensors):
            call(options.atrous, "convert", paths["pth"], safetensors)
        if options.int8:
            compare_int8(name, {**paths, "safetensors": safetensors}, size, options, environment)
            continue
        call(options.atrous, "segment", paths["npy"], "-m", safetensors, "--logits", logits, "--no-mask", "-q")
        ours = np.load(logits)
        traced = None if options.no_torch else load_torch(name, paths)
        for threads in options.threads.split(","):
            times = {"atrous": [], "ort": [], "torch": [], "first": [], "ort first": []}
            peak = {"atrous": [], "ort": []}
            for _ in range(options.rounds):
                mine = json.loads(call(options.atrous, "bench", safetensors, "--size", f"{size[1]}x{size[0]}", "--threads", threads, "--warmup", 1, "--runs",
                                       options.runs, "-o", "json"))
                times["atrous"].append(mine["median_ms"])
                peak["atrous"].append(mine["peak_resident_bytes"] / 1e6)
                times["first"].append(to_first_result([options.atrous, "segment", paths["npy"], "-m", safetensors,
                                                       "--threads", threads, "-o", options.work, "-q"]))
                theirs = json.loads(call("node", f"{HERE}/ort.js", paths["onnx"], paths["npy"], f"{options.work}/ort.bin",
                                         threads, 1, options.runs, env=environment))
                times["ort"].append(statistics.median(theirs["ms"]))
                times["ort first"].append(theirs["load_ms"] + theirs["first_ms"])
                peak["ort"].append(theirs["peak_resident_bytes"] / 1e6)
                if traced:
                    times["torch"].append(run_torch(*traced, threads, options.runs))
            reference = np.fromfile(f"{options.work}/ort.bin", np.float32)
            if reference.size != ours.size:  # the graph ends at low resolution
                reference = enlarged(reference, ours.shape)
            reference = reference.reshape(ours.shape)
            deviation = np.abs(ours - reference).max() / np.abs(reference).max()
            if not deviation < 1e-3:
                sys.exit(f"{name}: the logits differ by {deviation:.1e} of the largest")
            middle = {key: statistics.median(values) for key, values in times.items() if values}

            def ratio(peer):
                return statistics.median(t / m for m, t in zip(times["atrous"], times[peer]))

            torch_cells = f"{middle['torch']:.0f} | {ratio('torch'):.2f}" if traced else "|"
            print(f"| {name} | {threads} | {middle['atrous']:.0f} | {middle['ort']:.0f} | {ratio('ort'):.2f} | {torch_cells} | "
                  f"{middle['first']:.0f} | {middle['ort first']:.0f} | {max(peak['atrous']):.0f} | {max(peak['ort']):.0f} | "
                  f"{deviation:.0e} |", flush=True)


if __name__ == "__main__":
    main()
