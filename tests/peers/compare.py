"""Times atrous against ONNX Runtime on the same checkpoints and input, interleaved, and prints a table of ratios.

usage: compare.py ATROUS [--models deeplabv3_resnet50,...] [--threads 1,2] [--rounds 3] [--runs 3] [--work FOLDER]

Needs Debian's python3-torch and python3-torchvision (they make the checkpoints and export them), nodejs and npm; the
first run installs onnxruntime-node into FOLDER (default: a folder in the system's temporary one, kept for the next time).

Each round runs both programs once, each `runs` times after one warm-up, so that a machine that slows down slows both.
atrous: network, upsampling and argmax. ONNX Runtime: its run alone, which ends with the upsampled logits.
Figures are medians over all rounds; ratio is ONNX Runtime's time over ours, above 1 when atrous is faster.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torchvision.models import segmentation

HERE = os.path.dirname(os.path.abspath(__file__))
ORT = "onnxruntime-node@1.30"


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


def call(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("atrous")
    parser.add_argument("--models", default="fcn_resnet50,fcn_resnet101,deeplabv3_resnet50,"
                        "deeplabv3_resnet101,deeplabv3_mobilenet_v3_large,lraspp_mobilenet_v3_large")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "atrous-peers"))
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    if not os.path.exists(f"{options.work}/node_modules/onnxruntime-node"):
        call("npm", "install", "--ignore-scripts", "--prefix", options.work, ORT)
    environment = {**os.environ, "NODE_PATH": f"{options.work}/node_modules"}

    print("| model, 520x520 | threads | atrous ms | ONNX Runtime ms | ratio | atrous MB | ONNX Runtime MB | logits differ by |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.models.split(","):
        paths = prepare(name, options.work)
        logits = f"{options.work}/atrous.npy"
        call(options.atrous, "segment", paths["npy"], "-m", paths["pth"], "--logits", logits, "--no-mask", "-q")
        ours = np.load(logits)
        for threads in options.threads.split(","):
            times = {"atrous": [], "ort": []}
            peak = {}
            for _ in range(options.rounds):
                mine = json.loads(call(options.atrous, "bench", paths["pth"], "--threads", threads, "--warmup", 1, "--runs",
                                       options.runs, "-o", "json"))
                times["atrous"].append(mine["median_ms"])
                peak["atrous"] = mine["peak_resident_bytes"]
                theirs = json.loads(call("node", f"{HERE}/ort.js", paths["onnx"], paths["npy"], f"{options.work}/ort.bin",
                                         threads, 1, options.runs, env=environment))
                times["ort"].append(statistics.median(theirs["ms"]))
                peak["ort"] = theirs["peak_resident_bytes"]
            reference = np.fromfile(f"{options.work}/ort.bin", np.float32).reshape(ours.shape)
            deviation = np.abs(ours - reference).max() / np.abs(reference).max()
            a, o = statistics.median(times["atrous"]), statistics.median(times["ort"])
            ratio = statistics.median(t / m for m, t in zip(times["atrous"], times["ort"]))
            print(f"| {name} | {threads} | {a:.0f} | {o:.0f} | {ratio:.2f} | {peak['atrous'] / 1e6:.0f} | "
                  f"{peak['ort'] / 1e6:.0f} | {deviation:.0e} |", flush=True)


if __name__ == "__main__":
    main()
