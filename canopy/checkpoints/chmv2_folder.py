"""A CHMv2 model as a folder for transformers: what is in it, and what is trusted of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from canopy.checkpoints.chmv2_names import FACTORS, LEVELS
from canopy.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from canopy.checkpoints.chmv2_names import BackboneSizes, HeadSizes

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PREPROCESSOR_FILE = "preprocessor_config.json"

MEAN, STD = (0.420, 0.411, 0.296), (0.213, 0.156, 0.143)
"""Of red, green and blue in [0, 1], as the authors normalise."""
HEIGHTS_M = (0.001, 96.0)
"""Range of the bins as the authors state it [m]."""
TRAINING_SIDE_PX = 416
"""Side of an image in the released configuration [px]; nothing is computed from it."""

PREPROCESSOR = {
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": False,
    "ensure_multiple_of": 16,
    "image_mean": MEAN,
    "image_processor_type": "CHMv2ImageProcessor",
    "image_std": STD,
    "keep_aspect_ratio": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size_divisor": 16,
}

REQUIRED = ("patch_size", "min_depth", "max_depth", "bins_strategy", "norm_strategy")
REQUIRED_OF_BACKBONE = (
    "patch_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "layer_norm_eps",
    "out_indices",
)
"""What a configuration must say itself: no tensor shows it, and defaults of libraries differ."""

FOREIGN = (
    "backbone",
    "use_pretrained_backbone",
    "use_timm_backbone",
    "quantization_config",
    "transformers_weights",
    "fusion_config",
)
"""What would fetch another model, or run the weights as another."""


def is_chmv2_folder(folder: Path) -> bool:
    """Whether a folder holds the configuration of a CHMv2 model; transformers is not needed."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "chmv2"


def read_chmv2_config(path: Path) -> dict[str, Any]:
    """Return the content of ``config.json``, which must say everything itself.

    Raises:
        ModelError: it is another model's, leaves something to defaults, or asks for a model that
            is not in the folder.
    """
    config = read_object(path)
    if config.get("model_type") != "chmv2":
        msg = f"{path} has model_type {config.get('model_type')!r}, expected 'chmv2'"
        raise ModelError(msg)
    backbone = config.get("backbone_config")
    kind = backbone.get("model_type") if isinstance(backbone, dict) else None
    if not isinstance(backbone, dict) or kind != "dinov3_vit":
        found = f"of type {kind!r}" if backbone else "missing"
        msg = f"{path}: backbone_config is {found}, expected one of type 'dinov3_vit'"
        raise ModelError(msg)
    refuse_foreign(path, config, backbone)
    refuse_silent(path, config, backbone)
    return config


def read_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        ModelError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as JSON ({error}): fetch the model again"
        raise ModelError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} holds {type(content).__name__}, expected an object: fetch the model again"
        raise ModelError(msg)
    return content


def refuse_foreign(path: Path, config: dict[str, Any], backbone: dict[str, Any]) -> None:
    """Refuse a configuration that asks for more than the tensors beside it.

    Raises:
        ModelError: it does.
    """
    asked = [name for name in FOREIGN if config.get(name) or backbone.get(name)]
    if asked:
        value = config.get(asked[0]) or backbone.get(asked[0])
        msg = (
            f"{path} asks for {asked[0]} {value!r}: only the tensors beside it are used; remove "
            "the line if they are whole"
        )
        raise ModelError(msg)


def refuse_silent(path: Path, config: dict[str, Any], backbone: dict[str, Any]) -> None:
    """Refuse a configuration that leaves the architecture to the defaults of a library.

    Raises:
        ModelError: a value is missing, or the backbone keeps back what the head needs.
    """
    silent = [name for name in REQUIRED if config.get(name) is None]
    silent += [
        f"backbone_config.{name}" for name in REQUIRED_OF_BACKBONE if backbone.get(name) is None
    ]
    if silent:
        msg = f"{path} does not say {', '.join(silent[:3])}: fetch the configuration again"
        raise ModelError(msg)
    patch, tokens = backbone["patch_size"], backbone.get("return_class_token")
    if patch != config["patch_size"] or tokens is not True:
        msg = (
            f"{path}: the backbone has patches of {patch} px and return_class_token {tokens}, "
            f"expected {config['patch_size']} px and true"
        )
        raise ModelError(msg)


def check_chmv2_weights(path: Path) -> None:
    """Refuse weights that are not whole, before memory is taken for them.

    Raises:
        ModelError: the file is missing, or is no whole safetensors file.
    """
    if not path.is_file():
        others = sorted(entry.name for entry in path.parent.glob("*.bin*"))[:2]
        found = f" (found {', '.join(others)}, which could run code)" if others else ""
        msg = f"{path} is missing{found}: fetch the model's one safetensors file"
        raise ModelError(msg)
    try:
        with safe_open(path, framework="pt"):
            pass
    except (OSError, SafetensorError) as error:
        msg = f"{path} cannot be read as safetensors ({error}): fetch the model again"
        raise ModelError(msg) from error


def configuration(
    head: HeadSizes, backbone: BackboneSizes, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of ``config.json``; nothing is left to the defaults of a library."""
    least, most = HEIGHTS_M
    return {
        "architectures": ["CHMv2ForDepthEstimation"],
        "model_type": "chmv2",
        "dtype": "float32",
        "patch_size": backbone.patch,
        "reassemble_factors": FACTORS,
        "post_process_channels": head.channels,
        "fusion_hidden_size": head.fusion,
        "head_hidden_size": head.last,
        "number_output_channels": head.bins,
        "readout_type": "project",
        "min_depth": least,
        "max_depth": most,
        "bins_strategy": "chmv2_mixlog",
        "norm_strategy": "chmv2_mixlog",
        "backbone_config": backbone_configuration(backbone, facts),
    }


def backbone_configuration(sizes: BackboneSizes, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``config.json`` that describes the backbone."""
    # The authors tap blocks 5, 11, 17 and 23 of 24, counted from 0: the ends of four quarters.
    taps = [sizes.depth * (level + 1) // LEVELS for level in range(LEVELS)]
    return {
        "model_type": "dinov3_vit",
        "patch_size": sizes.patch,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.depth,
        "num_register_tokens": sizes.registers,
        "num_channels": 3,
        "image_size": TRAINING_SIDE_PX,
        "hidden_act": "gelu",
        "use_gated_mlp": False,
        "query_bias": True,
        "value_bias": True,
        "proj_bias": True,
        "mlp_bias": True,
        "out_indices": taps,
        "apply_layernorm": True,
        "reshape_hidden_states": True,
        "return_class_token": True,
        **facts,
    }


def write_chmv2_folder(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a model as a folder that transformers can load; it appears whole or not at all.

    Args:
        folder: must not exist, or be empty.
        config: content of ``config.json``.
        tensors: under the names of transformers.

    Raises:
        ModelError: there is something in the folder, or it cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            msg = f"{folder} is not empty: remove it, or name another folder"
            raise ModelError(msg)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fill(beside, config, tensors)
            beside.replace(folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except (OSError, SafetensorError) as error:
        msg = f"{folder} cannot be written ({error}): name another folder"
        raise ModelError(msg) from error


def fill(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the three files of a model into a folder."""
    for name, content in ((CONFIG_FILE, config), (PREPROCESSOR_FILE, PREPROCESSOR)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    stored = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(stored, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it readable by its owner alone
    folder.chmod(0o755)  # as does tempfile with folders
