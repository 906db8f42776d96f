"""The network as it is deployed: what every route converts, and what the int8 steps in torch work on."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.network.efficientnet import EfficientNet, ImageNetNorm, fold_batch_norm
from edgefit_toolkit.network.head import output_layer

WeightedModule = nn.Conv2d | nn.Linear


class Deployed(nn.Module):
    """Batch norms folded, no dropout, the temperature inside the classifier: only layers with a weight and a bias.

    Made by `deploy`. `forward` gives logits / temperature [N, classes] of [N, 3, R, R] in (pixels - 127) / 128.
    """

    def __init__(self, folded: EfficientNet, temperature: float) -> None:
        super().__init__()
        self.variant = folded.variant
        self.temperature = temperature
        self.input_norm = None if folded.input_norm is None else _as_convolution(folded.input_norm)
        self.stem, self.blocks, self.head = folded.stem, folded.blocks, folded.head
        self.classifier = folded.classifier

    def forward(self, x: Tensor) -> Tensor:
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(self.head(x), 1).flatten(1)  # mean((2, 3)) would leave a TRANSPOSE in the .tflite
        logits: Tensor = self.classifier(x)
        return logits


class Scores(nn.Module):
    """Probabilities instead of logits: the softmax belongs into the deployed graph."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.deployed(x), 1)


def deploy(network: EfficientNet, temperature: float = 1.0) -> Deployed:
    """A copy of the network, float32 on the CPU in eval mode, ready to convert.

    Raises ConversionError for a temperature that is not positive and finite, and for weights that are not finite.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConversionError(f"the softmax temperature is {temperature}; it must be positive and finite")
    folded = fold_batch_norm(copy.deepcopy(network).cpu().float())
    with torch.no_grad():
        output = output_layer(folded.classifier)
        output.weight.div_(temperature)
        output.bias.div_(temperature)
    broken = sorted(name for name, value in folded.state_dict().items() if not torch.isfinite(value).all())
    if broken:
        raise ConversionError(
            f"{len(broken)} weights of the network are not finite, {broken[0]} among them",
            "training has diverged: run it again with a lower learning rate",
        )
    return Deployed(folded, temperature).eval().requires_grad_(False)


def layers(deployed: Deployed) -> dict[str, WeightedModule]:
    """Every layer with weights under a short name (`stem`, `blocks.3.expand`, `classifier`), in the order they run."""
    return {short_name(n): m for n, m in deployed.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}


def short_name(module_name: str) -> str:
    """`blocks.3.expand.conv` -> `blocks.3.expand`."""
    return module_name.removesuffix(".conv")


def _as_convolution(norm: ImageNetNorm) -> nn.Conv2d:
    layer = nn.Conv2d(3, 3, 1, groups=3)
    with torch.no_grad():
        layer.weight.copy_(norm.weight)
        if layer.bias is not None:
            layer.bias.copy_(norm.bias)
    return layer
