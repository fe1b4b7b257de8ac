import atrous

model = atrous.load("default")  # or "deeplabv3_resnet101", or "net.pth"
result = model("street.png")  # or a PIL image, an array, a tensor
result.save("labels.png", "indexed")
