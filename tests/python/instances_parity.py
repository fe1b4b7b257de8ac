"""Runs torchvision's detectors and atrous on the same checkpoint and photo and compares the instances.

usage: instances_parity.py ATROUS

Bodies and versions that ../shared/data/networks has no case of: Faster R-CNN v2, ResNet-18, ResNet-34 with frozen batch
norms of eps 1e-5, ResNeXt-50. Weights are drawn. The bars: every detection of torchvision's is one of atrous's, with the same
class, corners within 0.01 pixel, the score within 5e-5, and of the mask at most one pixel in a thousand another.
Needs Debian's python3-torch and python3-torchvision; exits 77 (skipped) without them.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.models import detection
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ATROUS = sys.argv[1]
SIDES = {"min_size": 200, "max_size": 300}


def bodied(network, body, **how):
    return network(resnet_fpn_backbone(backbone_name=body, weights=None, trainable_layers=5, **how), 4, **SIDES)


NETWORKS = {
    "Faster R-CNN v2": lambda: detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=4, **SIDES),
    "Mask R-CNN, ResNet-18": lambda: bodied(detection.MaskRCNN, "resnet18"),
    "Mask R-CNN, frozen ResNet-34": lambda: bodied(detection.MaskRCNN, "resnet34", norm_layer=FrozenBatchNorm2d),
    "Mask R-CNN, ResNeXt-50": lambda: bodied(detection.MaskRCNN, "resnext50_32x4d"),
}


def drawn(model):
    """With statistics that no layer undoes, and heads whose scores are apart."""
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, FrozenBatchNorm2d)):
            module.running_mean.normal_(0, .1)
            module.running_var.uniform_(.6, 1.6)
            module.weight.data.uniform_(.7, 1)
            module.bias.data.normal_(0, .1)
    model.roi_heads.box_predictor.cls_score.weight.data.normal_(0, .05)
    model.roi_heads.box_predictor.bbox_pred.weight.data.normal_(0, .02)
    model.rpn.head.cls_logits.weight.data.normal_(0, .05)
    model.rpn.head.bbox_pred.weight.data.normal_(0, .02)
    return model.eval()


def check(name, make, photo, folder):
    model = drawn(make())
    torch.save(model.state_dict(), f"{folder}/model.pth")
    picture = torch.from_numpy(np.asarray(Image.open(photo).convert("RGB")).copy()).permute(2, 0, 1).float() / 255
    with torch.no_grad():
        expected = {key: value.numpy() for key, value in model([picture])[0].items()}
    masks = f"{folder}/masks"
    arch = ",".join(f"{key}={value}" for key, value in SIDES.items()) + (",eps=1e-5" if "frozen" in name else "")
    command = [ATROUS, "segment", photo, "-m", f"{folder}/model.pth", "--arch", arch, "-o", folder, "-q", "--json", "-"]
    if "masks" in expected:
        command += ["--instances", masks]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    boxes = np.array([[*i["bbox"][:2], i["bbox"][0] + i["bbox"][2], i["bbox"][1] + i["bbox"][3]] for i in found])
    distance = np.abs(boxes[:, None] - expected["boxes"][None]).max(axis=2)
    nearest = distance.argmin(axis=0)
    scores = np.abs(np.array([i["score"] for i in found])[nearest] - expected["scores"]).max()
    labels = np.array([i["category_id"] for i in found])[nearest] == expected["labels"]
    files = sorted(os.listdir(masks)) if "masks" in expected else []
    other = 0.0
    for i, mask in enumerate(expected.get("masks", ())):
        ours = np.asarray(Image.open(f"{masks}/{files[nearest[i]]}")) > 0
        other = max(other, np.mean(ours != (mask[0] >= .5)))
    for file in files:
        os.remove(f"{masks}/{file}")
    worst = distance.min(axis=0).max()
    print(f"{name}: {len(found)} instances, torchvision {len(labels)}; corners off by {worst:.1e} pixel, scores by "
          f"{scores:.1e}, {other:.1e} of a mask's pixels")
    return len(found) == len(labels) > 0 and worst <= .01 and scores <= 5e-5 and labels.all() and other <= 1e-3


def main():
    torch.manual_seed(1)
    street = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "street", "street.png")
    with tempfile.TemporaryDirectory() as folder:
        photo = f"{folder}/photo.png"
        Image.open(street).convert("RGB").resize((190, 150)).save(photo)
        failed = [name for name, make in NETWORKS.items() if not check(name, make, photo, folder)]
    if failed:
        sys.exit("other than torchvision: " + ", ".join(failed))


if __name__ == "__main__":
    main()
