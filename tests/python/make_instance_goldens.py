#!/usr/bin/python3
"""Writes tests/goldens/instances.txt: what torchvision computes from boxes, maps and masks.

Usage: /usr/bin/python3 tests/python/make_instance_goldens.py

Needs Debian's python3-torchvision (results were made with 0.14). Seeded; writes the same each time, in the form that
tests/support/golden.h reads. Maps are kept as NHWC.
"""

import pathlib

import torch
from torchvision.models.detection import anchor_utils, image_list, roi_heads, rpn
from torchvision.models.detection import _utils as coding
from torchvision.ops import batched_nms, roi_align
from torchvision.ops.poolers import LevelMapper

PATH = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "instances.txt"
lines = ["# Written by tests/python/make_instance_goldens.py, with torchvision 0.14"]


def case(kind, **entries):
    lines.append(f"case {kind}")
    for key, value in entries.items():
        if isinstance(value, torch.Tensor):
            flat = " ".join("%.9g" % float(v) for v in value.reshape(-1))
            lines.append(f"tensor {key} {' '.join(map(str, value.shape))} : {flat}")
        else:
            lines.append(f"set {key} {value}")


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


def boxes_of(n, w, h, generator):
    a = torch.rand(n, 2, generator=generator) * torch.tensor([w * 0.7, h * 0.7])
    s = torch.rand(n, 2, generator=generator) * torch.tensor([w * 0.5, h * 0.5]) + 0.5
    return torch.cat([a, a + s], 1)


g = torch.Generator().manual_seed(21)

boxes = boxes_of(40, 60, 50, g)
groups = torch.randint(0, 3, (40,), generator=g)
scores = torch.rand(40, generator=g)
for threshold in (0.3, 0.5, 0.7):
    case("nms", threshold=threshold, boxes=boxes, scores=scores, groups=groups,
         kept=batched_nms(boxes, scores, groups, threshold))

references = boxes_of(12, 100, 80, g)
deltas = torch.randn(12, 4, generator=g) * 2
deltas[0, 2] = 40  # held to log(1000 / 16)
for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)):
    case("decode", x=weights[0], w=weights[2], references=references, deltas=deltas,
         boxes=coding.BoxCoder(weights).decode_single(deltas, references))

# A padded input whose coarsest map's stride is no power of two: 160 // 3 = 53.
sizes, ratios = ((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3
extents = [(10, 6), (5, 3), (3, 3)]
objectness = [torch.randn(1, 3, h, w, generator=g) for h, w in extents]
regressions = [torch.randn(1, 12, h, w, generator=g) * 0.4 for h, w in extents]
anchors = anchor_utils.AnchorGenerator(sizes, ratios)
padded, image = (160, 96), (155, 90)
at = anchors(image_list.ImageList(torch.zeros(1, 3, *padded), [image]), objectness)
network = rpn.RegionProposalNetwork(anchors, None, 0.7, 0.3, 1, 0.5, {"training": 70, "testing": 70},
                                    {"training": 50, "testing": 50}, 0.7)
network.eval()
logits, codes = rpn.concat_box_prediction_layers(objectness, regressions)
decoded = network.box_coder.decode(codes, at).view(1, -1, 4)
found, found_scores = network.filter_proposals(decoded, logits, [image], [3 * h * w for h, w in extents])
case("proposals", candidates=70, proposals=50, padded_h=padded[0], padded_w=padded[1], h=image[0], w=image[1],
     boxes=found[0], scores=found_scores[0], anchors=at[0][-27:],
     **{f"objectness{i}": nhwc(t) for i, t in enumerate(objectness)},
     **{f"deltas{i}": nhwc(t) for i, t in enumerate(regressions)})

proposals = boxes_of(30, 120, 90, g)
class_logits = torch.randn(30, 5, generator=g) * 2
box_regression = torch.randn(30, 20, generator=g)
heads = roi_heads.RoIHeads(None, None, None, 0.5, 0.5, 1, 0.5, None, 0.05, 0.5, 25)
b, s, l = heads.postprocess_detections(class_logits, box_regression, [proposals], [(90, 120)])
case("detections", h=90, w=120, detections=25, proposals=proposals, logits=class_logits.view(30, 1, 1, 5),
     deltas=box_regression.view(30, 1, 1, 20), boxes=b[0], scores=s[0], labels=l[0])

around = torch.tensor([[0, 0, s, s] for s in (1, 20, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 1200, 0)])
case("levels", boxes=around, levels=LevelMapper(2, 5)([around]))

features = torch.randn(1, 3, 9, 11, generator=g)
regions = torch.cat([boxes_of(6, 44, 36, g), torch.tensor(
    [[-9, -9, 60, 50.0], [43, 35, 44, 36], [0, 0, 0.1, 0.1], [-30, -30, -20, -20]])])
for size, samples in ((7, 2), (4, 3), (3, 1)):
    pooled = roi_align(features, [regions], size, 0.25, samples, False)
    case("roi_align", size=size, samples=samples, scale=0.25, map=nhwc(features), regions=regions, out=nhwc(pooled))

mask = torch.rand(5, 1, 6, 6, generator=g)
places = torch.tensor([[3.3, 4.4, 20.2, 15.7], [-0.2, 5.1, 26.7, 20.6], [16.1, 12.2, 25.8, 19.6], [7.2, 7.2, 7.4, 7.3],
                       [2.6, 1.3, 30.1, 33.2]])
pasted = roi_heads.paste_masks_in_image(mask, places, (20, 26))
corners = roi_heads.expand_boxes(places, 8 / 6).to(torch.int64)
case("paste", h=20, w=26, masks=mask[:, 0], boxes=places, corners=corners, pictures=pasted[:, 0])

PATH.write_text("\n".join(lines) + "\n")
