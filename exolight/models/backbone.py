"""Any timm ``features_only`` network as a backbone, by name; and two narrow CSPDarknets that timm lacks."""

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from exolight.errors import InputError

# timm loads wandb wherever it is installed, for trainings of its own: 0.4 s of every prediction's start.
_loaded = sys.modules.setdefault("wandb", None)  # type: ignore[arg-type]
import timm  # noqa: E402
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model  # noqa: E402
from timm.models.cspnet import CspModelCfg, CspNet, CspStagesCfg, CspStemCfg  # noqa: E402

if _loaded is None:
    del sys.modules["wandb"]

# The pictures' statistics are those of cs3darknet_focus_s. timm's registry looks for this very name, in the module of the functions that it registers.
default_cfgs = generate_default_cfgs(
    {
        f"{name}.untrained": {
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "num_classes": 1000,
            "input_size": (3, 256, 256),
            "first_conv": "stem.conv1.conv",
            "classifier": "head.fc",
        }
        for name in ("cs3darknet_focus_n", "cs3darknet_focus_t")
    }
)


def narrow_darknet(name: str, widths: tuple[int, int, int, int], pretrained: bool, **kwargs: Any) -> nn.Module:
    """timm's cs3darknet_focus with these channels at strides 4, 8, 16 and 32, and at depth 0.33. No published weights exist."""
    cfg = CspModelCfg(
        stem=CspStemCfg(out_chs=16, kernel_size=6, stride=2, padding=2, pool=""),
        stages=CspStagesCfg(depth=(1, 2, 3, 1), out_chs=widths, stride=2, bottle_ratio=1.0, block_ratio=0.5, stage_type="cs3", block_type="dark"),
        act_layer="silu",
    )
    feature_cfg = {"flatten_sequential": True, "out_indices": kwargs.pop("out_indices", (0, 1, 2, 3, 4))}
    return build_model_with_cfg(CspNet, name, pretrained, model_cfg=cfg, feature_cfg=feature_cfg, **kwargs)


@register_model
def cs3darknet_focus_n(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Width 0.25: YOLOv5n's proportions."""
    return narrow_darknet("cs3darknet_focus_n", (32, 64, 128, 256), pretrained, **kwargs)


@register_model
def cs3darknet_focus_t(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Width 0.125, but for the stem, which keeps 16 channels."""
    return narrow_darknet("cs3darknet_focus_t", (16, 32, 64, 128), pretrained, **kwargs)


class Backbone(nn.Module):
    """Features of a timm network at the strides asked for.

    Args:
        name: a timm model name, with or without the tag of its weights (``cs3darknet_m.c2ns_in1k``).
        in_chans: channels of the pictures; timm sums pretrained RGB filters for 1.
        strides: the wanted reductions, e.g. (8, 16, 32); those that the network does not have are left to the neck.
        options: further keyword arguments of ``timm.create_model``, such as ``drop_path_rate``.

    Attributes:
        channels, strides: of the features that ``forward`` returns, from fine to coarse.
        mean, std: per-channel statistics of the network's training, for pictures in [0, 1]; ``in_chans`` numbers each.

    Raises:
        InputError: timm has no such network, or it lacks a needed stride.
    """

    def __init__(self, name: str, in_chans: int = 1, strides: Sequence[int] = (8, 16, 32), options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.in_chans = in_chans
        self.options = dict(options or {})
        check_name(name)
        probe = create(name, in_chans, None, self.options)
        wanted = [s for s in strides if s <= max(probe.feature_info.reduction())]
        # The deepest feature of a reduction is the richest one.
        last = dict(zip(probe.feature_info.reduction(), probe.feature_info.out_indices, strict=True))
        missing = [s for s in wanted if s not in last]
        if missing:
            found = f"model.backbone.name={name} has features at strides {sorted(last)}, not at {missing}"
            raise InputError(f"{found}: choose another backbone or other model.strides")
        self.out_indices = [last[s] for s in wanted]
        self.body = create(name, in_chans, self.out_indices, self.options)
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.03
        self.channels: list[int] = self.body.feature_info.channels()
        self.strides: list[int] = self.body.feature_info.reduction()
        # Windowed transformers return (B, H, W, C).
        self.channels_at_the_end = getattr(self.body, "output_fmt", "NCHW") == "NHWC"
        cfg = self.body.pretrained_cfg if hasattr(self.body, "pretrained_cfg") else probe.pretrained_cfg
        self.mean = per_channel(cfg["mean"], in_chans)
        self.std = per_channel(cfg["std"], in_chans)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_chans, H, W) normalised floats -> features (B, channels[i], H / strides[i], W / strides[i])."""
        features = self.body(x)
        return [feature.permute(0, 3, 1, 2) for feature in features] if self.channels_at_the_end else features

    def load_pretrained(self, file: str | Path | None = None) -> str:
        """Take timm's published weights, from the hub, its cache, or a local ``file``; returns what was loaded.

        Raises whatever timm raises where there are none or they cannot be had.
        """
        if file is None and not timm.is_model_pretrained(self.name):
            raise LookupError("none are published")
        overlay = {"file": str(file)} if file is not None else None
        with impatient_hub() if file is None else nullcontext():
            source = create(self.name, self.in_chans, self.out_indices, self.options, pretrained=True, overlay=overlay)
        self.body.load_state_dict(source.state_dict())
        return str(file) if file is not None else f"{source.pretrained_cfg.get('architecture', self.name)}.{source.pretrained_cfg.get('tag', '')}".rstrip(".")


def create(
    name: str,
    in_chans: int,
    out_indices: Sequence[int] | None,
    options: Mapping[str, Any],
    pretrained: bool = False,
    overlay: dict[str, Any] | None = None,
) -> Any:
    """timm's feature network; without ``out_indices`` all its levels."""
    chosen: dict[str, Any] = {} if out_indices is None else {"out_indices": tuple(out_indices)}
    try:
        return timm.create_model(name, pretrained=pretrained, pretrained_cfg_overlay=overlay, features_only=True, in_chans=in_chans, **chosen, **options)
    except (TypeError, AttributeError, AssertionError) as error:
        raise InputError(f"model.backbone.name={name} cannot be used as a feature network ({error}): choose another timm network") from error


@contextmanager
def impatient_hub(timeout: float = 5.0) -> Iterator[None]:
    """Ask only the hub's cache where the hub does not answer within ``timeout`` seconds: its client would try again for most of a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    before = constants.HF_HUB_OFFLINE
    if not before:
        try:
            get_session().head(constants.ENDPOINT, timeout=timeout)
        except Exception:  # of whichever HTTP client this version of the hub's uses
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    except Exception as error:
        if constants.HF_HUB_OFFLINE and not before:
            raise ConnectionError(f"{constants.ENDPOINT} cannot be reached, and its cache on this machine lacks them") from error
        raise
    finally:
        constants.HF_HUB_OFFLINE = before


def check_name(name: str) -> None:
    """Raise ``InputError`` naming the closest real names unless timm knows ``name``."""
    if timm.is_model(name):
        architecture, _, tag = name.partition(".")
        tagged = timm.list_pretrained(f"{architecture}.*")
        if tag and name not in tagged:
            raise InputError(f"model.backbone.name={name}: timm has no weights of that tag; it has {', '.join(tagged) or 'none'}")
        return
    close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
    raise InputError(f"model.backbone.name={name} is no timm network; the closest names are {', '.join(close) or 'none (see timm.list_models())'}")


def per_channel(values: Sequence[float], in_chans: int) -> list[float]:
    """RGB statistics for ``in_chans`` channels; their average where the picture is not RGB."""
    return [float(v) for v in values] if len(values) == in_chans else [float(sum(values) / len(values))] * in_chans
