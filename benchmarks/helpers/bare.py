"""A step and a look of a model on one resident batch, and nothing else: what speed is measured against.

At its best of layout and precision, on a GPU also of torch.compile and CUDA graphs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from iqa.config import ExperimentConfig
from iqa.device import autocast, choose_precision
from iqa.model.backbone.depthwise import quicken
from iqa.model.quality import QualityModel
from iqa.training.losses import training_loss
from iqa.training.optimizer import build_optimizer, parameter_groups

from .timing import Options, Timing, in_turns, seconds_of

#: Side in pixels that the networks of speed_loop.py see.
SIDE = 224
#: Seconds of a bare contender's turn, if that is more than one step.
TURN_SECONDS = 1.5
#: Turns of each way of computing, to find the fastest.
TRIES = 3
COMPILED, GRAPH = "torch.compile", "CUDA graph"


@dataclass(frozen=True)
class Way:
    """How a bare contender computes."""

    layout: torch.memory_format
    precision: torch.dtype
    boost: str = ""

    def __str__(self) -> str:
        layout = str(self.layout).removeprefix("torch.").removesuffix("_format")
        return f"{layout}, {short(self.precision)}" + (f", {self.boost}" if self.boost else "")


class Repeated:
    """Work that is done until it takes long enough to be timed; its first time does not count."""

    def __init__(self, work: Callable[[], object], options: Options) -> None:
        work()
        once = seconds_of(work, options.device)
        self._work, self.times = work, 1 if options.quick else max(1, round(TURN_SECONDS / once))

    def __call__(self) -> None:
        for _ in range(self.times):
            self._work()


class Bare:
    """Steps and forwards of models on one resident batch, and nothing else.

    Args:
        config: losses, optimiser and backbone of the training.
        images, scores: the batch, on the device.
    """

    def __init__(self, config: ExperimentConfig, images: Tensor, scores: Tensor) -> None:
        self.training, self.backbone = config.training, config.model.backbone
        self.images, self.scores, self.device = images, scores, images.device

    def quality(self, model: QualityModel, way: Way) -> Callable[[], None]:
        """A step of a copy of the quality model, with the losses of `Trainer`."""
        model, weights = copy.deepcopy(model).train(), self.training.loss
        arrange(model.backbone, way)

        groups = parameter_groups(model, self.training.learning_rate, self.training.weight_decay)
        return self._step(
            lambda: model(self.images), lambda said: training_loss(said, self.scores, weights), groups, way
        )

    def linear(self, prepare: Callable[[Tensor, int], Tensor], way: Way) -> Callable[[], None]:
        """A step of the backbone as timm pools it, with one linear layer, on the same pixels."""
        net = timm.create_model(self.backbone, pretrained=False, num_classes=1)
        quicken(net)
        net = net.to(self.device).to(memory_format=way.layout).train()
        if way.boost == COMPILED:
            net.compile()
        return self._step(
            lambda: net(prepare(self.images, SIDE).contiguous(memory_format=way.layout)).squeeze(1),
            lambda predicted: nn.functional.mse_loss(predicted.float(), self.scores),
            [{"params": list(net.parameters()), "weight_decay": self.training.weight_decay}],
            way,
        )

    def forward(self, model: QualityModel, way: Way) -> Callable[[], None]:
        """What validation does with a batch, without the mirror image."""
        model = copy.deepcopy(model).eval()
        model.mirror = False
        arrange(model.backbone, way)

        @torch.inference_mode()
        def work() -> None:
            with autocast(self.device, way.precision):
                model(self.images)

        return captured(work, self.device) if way.boost == GRAPH else work

    def best_way(self, model: QualityModel) -> tuple[Way, str]:
        """The fastest way, tried on half the batch, and what could not be tried."""
        half = copy.copy(self)
        half.images, half.scores = (part[: len(part) // 2] for part in (self.images, self.scores))
        # A processor that does not multiply in bfloat16 imitates it, many times slower.
        precisions = sorted({torch.float32, choose_precision("auto", self.device)}, key=str)
        ways = [Way(layout, kind) for layout in (torch.channels_last, torch.contiguous_format) for kind in precisions]
        best = fastest({way: half.quality(model, way) for way in ways}, self.device)
        if self.device.type != "cuda":
            return best, "torch.compile is left out: on a CPU it is slower, after 86 s of compiling"
        steps, failed = {best: self.quality(model, best)}, []
        for way in (replace(best, boost=COMPILED), replace(best, boost=GRAPH)):
            try:
                steps[way] = self.quality(model, way)
                steps[way]()
            except Exception as error:  # whatever a compiler lacks, or a graph cannot hold
                steps.pop(way, None)
                failed.append(f"{way.boost} failed: {str(error).strip().partition(chr(10))[0][:120]}")
        return fastest(steps, self.device), "; ".join(failed)

    def flops(self, model: QualityModel, way: Way) -> int:
        """Of a step. The counter knows the products within attention only where they are written out."""
        step = self.quality(model, replace(way, boost=""))
        counted = {torch.ops.aten.convolution_backward: convolution_backward_flops}
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=counted) as counter:
            step()
        return int(counter.get_total_flops())

    def _step(
        self, forward: Callable[[], Any], loss: Callable[[Any], Tensor], groups: list[dict[str, Any]], way: Way
    ) -> Callable[[], None]:
        optimizer = build_optimizer(groups, self.training, self.device)
        for group in optimizer.param_groups:
            group["capturable"] = way.boost == GRAPH

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with autocast(self.device, way.precision):
                predicted = forward()
            loss(predicted).backward()
            optimizer.step()

        return captured(step, self.device) if way.boost == GRAPH else step


def fastest(steps: dict[Way, Callable[[], None]], device: torch.device) -> Way:
    """By the best of a few turns, as what else the machine does makes none faster."""
    timed = in_turns({str(way): step for way, step in steps.items()}, TRIES, device)
    return min(steps, key=lambda way: min(timed[str(way)].seconds))


def convolution_backward_flops(grad: Sequence[int], _: Any, weight: Sequence[int], *rest: Any, **__: Any) -> int:
    """As many as forward for each gradient that is wanted; PyTorch's own count forgets that groups share no work."""
    of_images, of_weight, _ = rest[-1]
    return int(2 * grad[0] * prod(grad[2:]) * prod(weight) * (of_images + of_weight))


def arrange(backbone: Any, way: Way) -> None:
    """Let a backbone, whose own layout is channels_last, compute in this way."""
    backbone.net.to(memory_format=way.layout)
    prepare = backbone.prepare
    backbone.prepare = lambda images, side: prepare(images, side).contiguous(memory_format=way.layout)
    if way.boost == COMPILED:
        backbone.compile()


def captured(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """`work` as a CUDA graph: the processor launches it as a whole, not kernel by kernel."""
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(3):
            work()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    # The graph writes into the tensors of `work`, which has to outlive it.
    kept = graph, work
    return lambda: kept[0].replay()


def product(size: int, precision: torch.dtype, device: torch.device) -> Callable[[], object]:
    left, right = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
    return lambda: left @ right


def times(timing: Timing, factor: float) -> Timing:
    return Timing(tuple(factor * seconds for seconds in timing.seconds))


def short(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")
