"""ResNet-20 for CIFAR-10 (He et al. 2016, arXiv 1512.03385, §4.2) as one file, for a checkpoint from elsewhere.

Its tensors have the names of common public checkpoints (`layer1.0.conv1.weight`, …, `linear.weight`). Images come
as unweave gives them, [3, 32, 32] in 0..1; what the model was trained on is made of them here.
"""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu

MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters (option A)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, out - into

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both ways."""
        z = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        if self.more:
            short = pad(short, (0, 0, 0, 0, self.more // 2, self.more // 2))
        return relu(z + short)


class ResNet20(nn.Module):
    """Three groups of three blocks, of 16, 32 and 64 channels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._group(16, 16, 1)
        self.layer2 = self._group(16, 32, 2)
        self.layer3 = self._group(32, 64, 2)
        self.linear = nn.Linear(64, classes)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).reshape(3, 1, 1), persistent=False)

    def _group(self, into: int, out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Block(into, out, stride), Block(out, out, 1), Block(out, out, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of images [n, 3, 32, 32] in 0..1."""
        z = relu(self.bn1(self.conv1((x - self.mean) / self.spread)))
        z = self.layer3(self.layer2(self.layer1(z)))
        return self.linear(avg_pool2d(z, z.shape[-1]).flatten(1))


def make(shape: tuple[int, ...], classes: int) -> nn.Module:
    """What `learner.factory` names."""
    return ResNet20(classes)
