"""Folding BatchNorms into the convolutions before them: the same numbers from fewer passes over memory, for prediction only."""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exolight.models.detector import Detector


def fuse(detector: Detector) -> Detector:
    """A copy in evaluation mode, without gradients, whose BatchNorms are part of the convolutions before them wherever that is sure to change nothing.

    Which BatchNorm follows which convolution is not guessed from names: one small picture is passed through, and a pair is folded when the BatchNorm is the
    only one to read what the convolution writes. That holds for any timm network, and weights that are standardised or shared on their way stay as they are.
    Outputs agree to rounding (about 1e-5 of their size).
    """
    fused = copy.deepcopy(detector).eval().requires_grad_(False)
    backbone, neck = fused.backbone, fused.neck
    side = 2 * fused.strides[-1]
    parameter = next(fused.parameters())
    features = [parameter.new_zeros(1, channels, side // stride, side // stride) for channels, stride in zip(backbone.channels, backbone.strides, strict=True)]
    fold(neck, features)
    with torch.no_grad():
        fold(fused.head, neck(features))
    with suppress(AssertionError):  # transformers that take pictures of one size only; those have no BatchNorm
        fold(backbone, parameter.new_zeros(1, fused.in_chans, side, side))
    return fused.to(memory_format=torch.channels_last)


def fold(network: nn.Module, example: Any) -> None:
    """Fold, in place, the BatchNorms of ``network``, in evaluation mode, into the convolutions before them, as seen in one pass of ``example`` through it."""
    for conv, norm in list(_pairs(network, example)):
        _replace(network, conv, fuse_conv_bn_eval(conv, norm))
        _replace(network, norm, nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity())


def _pairs(network: nn.Module, example: Any) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions, each with the BatchNorm that alone reads its output, as seen in one pass of ``example`` through ``network``."""
    modules = [m for m in network.modules() if not (m._forward_hooks or m._forward_pre_hooks)]  # what others hook into has to stay
    # Exactly these classes: subclasses do more with their weights or statistics than a convolution and a BatchNorm do.
    convs = {id(m.weight): m for m in modules if isinstance(m, nn.Conv2d) and type(m) in (nn.Conv2d, Conv2dSame)}
    norms = {id(m.running_mean): m for m in modules if isinstance(m, nn.BatchNorm2d) and type(m) in (nn.BatchNorm2d, BatchNormAct2d)}
    with torch.no_grad(), _Calls() as seen:
        returned = network(example)
    used = Counter(id(tensor) for inputs, _ in seen.calls for tensor in inputs) + Counter(id(tensor) for tensor in tree_leaves(returned))
    written_by = {id(output): convs[id(tensor)] for inputs, output in seen.calls for tensor in inputs if id(tensor) in convs}
    for inputs, _ in seen.calls:
        norm = next((norms[id(tensor)] for tensor in inputs if id(tensor) in norms), None)
        conv = written_by.get(id(inputs[0])) if inputs else None
        # A weight or a BatchNorm that is used twice belongs to more than this pair.
        if norm is not None and conv is not None and used[id(inputs[0])] == used[id(conv.weight)] == used[id(norm.running_mean)] == 1:
            yield conv, norm


class _Calls(TorchDispatchMode):
    """Notes the tensors that go into and come out of every operation; keeping them keeps their ids apart."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[list[Tensor], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.calls.append(([x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)], output))
        return output


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` in every place of ``network`` that holds ``old``."""
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
