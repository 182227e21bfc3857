"""Images a second of whole training steps of ResNet-101 + GeM + FC + BatchNorm1d + ArcFace in plain PyTorch: the yardstick for
`cairn device --training resnet101-gem`. Needs PyTorch alone.

    python3 benches/train_step.py [--device cuda] [--width 512] [--height 384] [--batch 32] [--steps 30]

Forward and backward in bf16 on CUDA (autocast) and f32 on the CPU, channels innermost, SGD with momentum; random pixels and weights.
"""
import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES, DIMENSION, SCALE, MARGIN, WARM_UP = 1000, 512, 30.0, 0.3, 3


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(y + shortcut, inplace=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        blocks, inputs = [], 64
        for stage, count in enumerate([3, 4, 23, 3]):
            for within in range(count):
                blocks.append(Bottleneck(inputs, 64 << stage, 2 if within == 0 and stage > 0 else 1))
                inputs = 4 * (64 << stage)
        self.blocks = nn.Sequential(*blocks)
        self.fc, self.bn = nn.Linear(2048, DIMENSION), nn.BatchNorm1d(DIMENSION)
        self.classes = nn.Parameter(torch.empty(CLASSES, DIMENSION))
        nn.init.xavier_uniform_(self.classes)

    def forward(self, x, targets):
        features = self.blocks(self.stem(x))
        with torch.autocast(x.device.type, enabled=False):
            pooled = features.float().clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
            y = F.normalize(self.bn(self.fc(pooled)))
            cosines = y @ F.normalize(self.classes).t()
            own = cosines.gather(1, targets[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)
            own = torch.cos(torch.acos(own) + MARGIN)
            return F.cross_entropy(SCALE * cosines.scatter(1, targets[:, None], own), targets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, usual in [("width", 512), ("height", 384), ("batch", 32), ("steps", 30)]:
        parser.add_argument(f"--{name}", type=int, default=usual)
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    net = Net().to(args.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-5)
    pixels = torch.randint(0, 256, (args.batch, args.height, args.width, 3), dtype=torch.uint8)
    targets = torch.randint(0, CLASSES, (args.batch,)).to(args.device)
    mean = torch.tensor([123.675, 116.28, 103.53], device=args.device).view(1, 3, 1, 1)
    deviation = torch.tensor([58.395, 57.12, 57.375], device=args.device).view(1, 3, 1, 1)
    begin = 0.0
    for step in range(WARM_UP + args.steps):
        if step == WARM_UP:
            begin = time.perf_counter()
        x = (pixels.to(args.device).permute(0, 3, 1, 2).float() - mean) / deviation
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.device != "cpu"):
            loss = net(x, targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        loss.item()  # a step is over when its loss is known, as in cairn
    seconds = time.perf_counter() - begin
    print(f"plain PyTorch {torch.__version__} on {args.device}: {args.steps * args.batch / seconds:.1f} images/s")


if __name__ == "__main__":
    main()
