"""Segmentation without a framework: atrous from Python.

    import atrous
    model = atrous.load("deeplabv3_resnet101")
    result = model("dog.jpg")
    print(result.classes)
    result.save("dog.overlay.png")
"""
from ._library import Error, functions
from .devices import Device, Devices, devices
from .evaluation import evaluate
from .images import encode_png, read_image, voc_palette, write_png
from .model import Model, load
from .refine import crf
from .result import ClassShare, Instance, Result

__version__: str = functions.version().decode()

__all__ = ["ClassShare", "Device", "Devices", "Error", "Instance", "Model", "Result", "crf", "devices", "encode_png", "evaluate",
           "load", "read_image", "voc_palette", "write_png"]
