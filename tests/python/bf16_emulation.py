"""Networks in bfloat16: the error of the program is that of the same roundings emulated with torch.

torchvision's FCN and DeepLabV3 on ResNets, with batch norms that tame random weights, run three times on one
picture: by torch in fp32, by torch with weights and maps rounded to bfloat16 where the program keeps them so,
and by the program with --precision bf16. Its error against fp32 is at most 1.5 times the emulation's.

Usage: bf16_emulation.py PROGRAM
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

torch.set_grad_enabled(False)


def rounded(x):
    """To bfloat16 and back: to nearest, ties to even."""
    return x.to(torch.bfloat16).to(torch.float32)


def tame(network, seed):
    """Random weights whose maps keep their size from layer to layer."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
            module.running_mean.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
            module.running_var.copy_(1 + torch.rand(module.bias.shape, generator=generator))


def folded(conv, norm, keep=False):
    """The convolution with its batch norm inside, as the program has it; its weights rounded unless kept."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = (conv.weight.double() * scale[:, None, None, None]).float()
    bias = (norm.bias.double() - norm.running_mean.double() * scale).float()
    return (weight if keep else rounded(weight)), bias


def convolve(x, conv, norm, residual=None, relu=True, keep=False):
    """One node of the program: the sum in fp32, bias, residual, activation, then rounding."""
    weight, bias = folded(conv, norm, keep)
    y = torch.nn.functional.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation)
    if residual is not None:
        y = y + residual
    return rounded(torch.relu(y) if relu else y)


def emulated_backbone(resnet, x):
    x = convolve(x, resnet.conv1, resnet.bn1, keep=True)  # the first layer is in fp32, its output is rounded
    x = resnet.maxpool(x)
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        for block in layer:
            same = x
            if block.downsample is not None:
                same = convolve(x, block.downsample[0], block.downsample[1], relu=False)
            y = convolve(x, block.conv1, block.bn1)
            if hasattr(block, "conv3"):
                y = convolve(y, block.conv2, block.bn2)
                x = convolve(y, block.conv3, block.bn3, same)
            else:
                x = convolve(y, block.conv2, block.bn2, same)
    return x


def emulated_fcn(network, x):
    head = network.classifier
    y = convolve(emulated_backbone(network.backbone, x), head[0], head[1])
    return torch.nn.functional.conv2d(y, rounded(head[4].weight), head[4].bias)


def emulated_deeplabv3(network, x):
    x = emulated_backbone(network.backbone, x)
    aspp, head = network.classifier[0], network.classifier
    maps = [convolve(x, branch[0], branch[1]) for branch in list(aspp.convs)[:4]]
    pool = aspp.convs[4]
    mean = torch.nn.functional.adaptive_avg_pool2d(x, 1)
    weight, bias = folded(pool[1], pool[2], keep=True)  # of one pixel: in fp32
    pixel = torch.relu(torch.nn.functional.conv2d(mean, weight, bias))
    joined = torch.cat(maps + [pixel.expand(-1, -1, *maps[0].shape[2:])], 1)
    projection, norm = aspp.project[0], aspp.project[1]
    weight, bias = folded(projection, norm, keep=True)
    wide = maps[0].shape[1] * 4
    y = torch.nn.functional.conv2d(joined[:, :wide], rounded(weight[:, :wide]), bias)
    y = rounded(torch.relu(y + torch.nn.functional.conv2d(joined[:, wide:], weight[:, wide:])))
    y = convolve(y, head[1], head[2])
    return torch.nn.functional.conv2d(y, rounded(head[4].weight), head[4].bias)


def by_program(program, network, picture, folder, precision, *options):
    checkpoint, given, logits = (os.path.join(folder, name) for name in ("n.pth", "in.npy", "out.npy"))
    torch.save(network.state_dict(), checkpoint)
    numpy.save(given, picture.numpy())
    subprocess.run([program, "segment", given, "-m", checkpoint, "--logits", logits, "-o", folder,
                    "--precision", precision, "-q", *options], check=True)
    return torch.from_numpy(numpy.load(logits))


def main():
    program = sys.argv[1]
    segmentation = torchvision.models.segmentation
    cases = [("fcn_resnet50", segmentation.fcn_resnet50, emulated_fcn, (65, 97)),
             ("deeplabv3_resnet50", segmentation.deeplabv3_resnet50, emulated_deeplabv3, (97, 65))]
    for name, make, emulate, size in cases:
        network = make(weights=None, weights_backbone=None, num_classes=21, aux_loss=False).eval()
        tame(network, 7)
        picture = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(3))
        exact = network(picture)["out"]
        grown = torch.nn.functional.interpolate(emulate(network, picture), size, mode="bilinear")
        with tempfile.TemporaryDirectory() as folder:
            plain = by_program(program, network, picture, folder, "fp32")
            found = by_program(program, network, picture, folder, "bf16")
            direct = by_program(program, network, picture, folder, "bf16", "--force", "implicit_gemm")
        largest = exact.abs().max()
        error = {key: ((value - exact).abs().max() / largest, ((value - exact) ** 2).mean().sqrt() / largest)
                 for key, value in (("fp32", plain), ("emulated", grown), ("bf16", found),
                                    ("bf16 without Winograd", direct))}
        agreement = (found.argmax(1) == exact.argmax(1)).float().mean()
        print(name, {key: tuple(f"{float(v):.2e}" for v in value) for key, value in error.items()},
              f"labels alike {float(agreement):.4f}")
        assert error["fp32"][0] < 2e-5, "fp32 differs from torch"
        for way in ("bf16", "bf16 without Winograd"):
            for measure in (0, 1):
                assert error[way][measure] <= 1.5 * error["emulated"][measure], "more than the roundings explain"
                assert error[way][measure] >= error["emulated"][measure] / 4, "this was not bfloat16"


main()
