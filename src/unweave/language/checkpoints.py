"""Local checkpoints of Llama models in the format of Hugging Face: read as tensors, changed, and written back.

`config.json` and safetensors files are read, code never; the package `transformers` is not needed.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.data import state_of_files
from unweave.language.model import EMBEDDING, HEAD, LlamaConfig, shapes
from unweave.language.rotary import scaling_of
from unweave.learners.contract import Params

_INDEX, _SINGLE, _CONFIG = "model.safetensors.index.json", "model.safetensors", "config.json"
_ADAPTER, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_BEYOND_PLAIN = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save")
_KNOWN_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class LlamaCheckpoint:
    """One model of a folder.

    Attributes:
        folder: Where it was read.
        config: Its architecture.
        params: Its weights, float32, one model.
        files: Name of each tensor of the folder → its file there.
        dtypes: Name → its dtype there.
    """

    folder: Path
    config: LlamaConfig
    params: Params
    files: dict[str, str]
    dtypes: dict[str, torch.dtype]


def read(folder: Path, *, vocabulary: int | None = None) -> LlamaCheckpoint:
    """The Llama model of a folder: `config.json` and `model.safetensors`, or its parts with an index.

    A folder with `adapter_config.json` and no `config.json` is a LoRA adapter of `peft`: read is the model of the
    local folder that `base_model_name_or_path` names, with the adapter merged, `folder` being that model's.

    Args:
        folder: The folder.
        vocabulary: Number of tokens of the tokenizer that is to be used; None = that of `tokenizer.json` in the
            folder, if there is one.

    Raises:
        SpecError: if the folder or a file is missing or broken, the model is of another type or uses what is not
            supported here, tensors do not fit the configuration, or the tokenizer has more tokens than the model.
    """
    if not folder.is_dir():
        raise SpecError(
            f"Cannot read the checkpoint {folder}: there is no such folder. Expected a local one with "
            "config.json, model.safetensors and tokenizer.json; nothing is downloaded."
        )
    if _is_adapter(folder):
        base = read(_base_of(folder), vocabulary=vocabulary)
        return replace(base, params=with_adapter(base, folder))
    settings = _json(folder / _CONFIG)
    config = config_of(settings, folder)
    tensors, files = _tensors(folder)
    expected = shapes(config)
    if config.tied and HEAD in tensors:
        if not torch.equal(tensors[HEAD], tensors.get(EMBEDDING, torch.empty(0))):
            raise SpecError(f"{folder}: `{_CONFIG}` has output layer and embedding in one; the files differ.")
    rows = len(tensors[EMBEDDING]) if EMBEDDING in tensors else config.vocabulary
    if rows != config.vocabulary:
        raise SpecError(
            f"{folder}: the embedding has {rows} tokens, and `vocab_size` of {_CONFIG} is {config.vocabulary}. "
            "The files are not of one model; save it again."
        )
    check_tokenizer(config, _tokens_of(folder) if vocabulary is None else vocabulary, folder)
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected and not (config.tied and name == HEAD)]
    if missing or extra:
        what = f"lacks `{missing[0]}`" if missing else f"has `{extra[0]}`, which a Llama model has not"
        more = len(missing or extra) - 1
        raise SpecError(f"{folder}: the checkpoint {what}{f' and {more} more' if more else ''}.")
    for name, shape in expected.items():
        value = tensors[name]
        if tuple(value.shape) != shape or value.dtype not in _KNOWN_DTYPES:
            raise SpecError(
                f"{folder}: `{name}` is {str(value.dtype)[6:]} {list(value.shape)}; by {_CONFIG} it is "
                f"{list(shape)}; float32, float16 and bfloat16 are read."
            )
        if not value.isfinite().all():
            raise SpecError(f"{folder}: `{name}` holds numbers that are not finite; the model is broken.")
    params = {name: tensors[name].float() for name in expected}
    return LlamaCheckpoint(folder, config, params, files, {name: value.dtype for name, value in tensors.items()})


def opened(folder: Path) -> tuple[LlamaCheckpoint, str]:
    """The model of a folder and the digest of its weights, read once by a process while its files stay.

    Raises:
        SpecError: as `read`.
    """
    base = str(_base_of(folder)) if _is_adapter(folder) else None
    return _opened(folder, state_of_files(str(folder), base))


@lru_cache(maxsize=1)
def _opened(folder: Path, state: str) -> tuple[LlamaCheckpoint, str]:
    del state  # a part of the key: other files are another model
    found = read(folder)
    return found, digest(found.params)


def _is_adapter(folder: Path) -> bool:
    return (folder / _ADAPTER).is_file() and not (folder / _CONFIG).is_file()


def _base_of(folder: Path) -> Path:
    """The folder of the model that an adapter is of: as it is named, or beside the adapter."""
    named = _json(folder / _ADAPTER).get("base_model_name_or_path")
    near = [Path(str(named)), folder / str(named)] if named else []
    for one in near:
        if (one / _CONFIG).is_file():
            return one
    raise SpecError(
        f"{folder / _ADAPTER}: `base_model_name_or_path` is {named!r}, which is no local folder of a model. An "
        "adapter is read together with its model, and nothing is downloaded: put the folder there."
    )


def digest(params: Params) -> str:
    """SHA-256 of the weights of one model, by name: two folders with one digest hold one model.

    Example:
        >>> one = {"a": torch.ones(2), "b": torch.zeros(1)}
        >>> digest(one) == digest(dict(reversed(one.items()))), digest(one) == digest({**one, "b": torch.ones(1)})
        (True, False)
    """
    found = hashlib.sha256()
    for name in sorted(params):
        value = params[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def write(folder: Path, like: LlamaCheckpoint, params: Params) -> None:
    """Write weights as the folder they were read from: its files, names and dtypes, its other files copied.

    What was not changed is written with the bytes that were read.

    Args:
        folder: A new folder.
        like: The checkpoint that the weights came from.
        params: Weights of one model, by the names of `like.params`.

    Raises:
        SpecError: if the folder exists, or weights are not those of this architecture or not finite.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    if folder.exists():
        raise SpecError(f"{folder} exists; a checkpoint is written into a new folder only.")
    if {name: tuple(value.shape) for name, value in params.items()} != shapes(like.config):
        raise SpecError(f"These weights are not those of the architecture of {like.folder}; nothing was written.")
    if not all(value.isfinite().all() for value in params.values()):
        raise SpecError("Some weights are not finite; nothing was written.")
    folder.mkdir(parents=True)
    for file in sorted(like.folder.iterdir()):
        if file.is_file() and file.name not in like.files.values():
            shutil.copy2(file, folder / file.name)
    for file in sorted(set(like.files.values())):
        names = [name for name, own in like.files.items() if own == file]
        with safe_open(like.folder / file, framework="pt") as content:  # pyright: ignore[reportPrivateImportUsage]
            about = content.metadata()
        own = {
            name: params[EMBEDDING if name not in params else name]
            .detach()
            .cpu()
            .to(like.dtypes[name])
            .contiguous()
            for name in names
        }
        save_file({name: value.clone() for name, value in own.items()}, folder / file, about)


def with_adapter(checkpoint: LlamaCheckpoint, folder: Path) -> Params:
    """Weights with a LoRA adapter of `peft` merged into them: W + (α/r)·B·A of each matrix that it adapts.

    Args:
        checkpoint: The model that the adapter was trained on.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        SpecError: for adapters of another kind, with more than such matrices, or of another model.
    """
    settings = _json(folder / _ADAPTER)
    other = [name for name in _BEYOND_PLAIN if settings.get(name)]
    if settings.get("peft_type") != "LORA" or settings.get("bias", "none") != "none" or other:
        raise SpecError(
            f"{folder}: only plain LoRA adapters are read, not {settings.get('peft_type')} with "
            f"{', '.join(other) or 'biases'}. Merge it with `merge_and_unload` of peft and give the whole model."
        )
    tensors = _load(folder / _ADAPTER_WEIGHTS)
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise SpecError(f"{folder / _ADAPTER}: `r` is {rank!r}, `lora_alpha` {alpha!r}; expected numbers.")
    scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    params = dict(checkpoint.params)
    for name in [name for name in tensors if name.endswith(".lora_A.weight")]:
        ours = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
        first, second = tensors.pop(name), tensors.pop(name.replace(".lora_A.", ".lora_B."), None)
        if ours not in params or second is None or (len(second), first.shape[1]) != tuple(params[ours].shape):
            raise SpecError(f"{folder}: the adapter's `{name}` does not fit the model of {checkpoint.folder}.")
        delta = second.float() @ first.float()
        params[ours] = params[ours] + (delta.mT if settings.get("fan_in_fan_out") else delta) * scale
    if tensors:
        raise SpecError(f"{folder}: the adapter has `{next(iter(tensors))}`, which is no part of plain LoRA.")
    return params


def check_tokenizer(config: LlamaConfig, tokens: int | None, where: Path | str) -> None:
    """Refuse a tokenizer with more tokens than the model has; a model may have more, as padded ones do.

    Raises:
        SpecError: saying both numbers.
    """
    if tokens is not None and tokens > config.vocabulary:
        raise SpecError(
            f"{where}: the tokenizer has {tokens} tokens, the model {config.vocabulary} (`vocab_size`): they are "
            "not of one model, and some texts would read outside the embedding. Give the tokenizer that the model "
            "was trained with."
        )


def config_of(settings: dict[str, Any], where: Path | str) -> LlamaConfig:
    """The architecture that a `config.json` describes.

    Raises:
        SpecError: for another type of model, or what changes its function in a way that is not computed here.
    """
    if settings.get("model_type") != "llama":
        raise SpecError(f"{where}: the model is of type {settings.get('model_type')!r}; expected 'llama'.")
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    unsupported = [name for name in ("attention_bias", "mlp_bias", "quantization_config") if settings.get(name)]
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        unsupported.append("partial_rotary_factor")
    if settings.get("hidden_act", "silu") != "silu":
        unsupported.append(f"hidden_act = {settings['hidden_act']}")
    if unsupported:
        raise SpecError(f"{where}: this model has {', '.join(unsupported)}, which unweave does not compute.")
    try:
        return LlamaConfig(
            settings["vocab_size"],
            width=settings["hidden_size"],
            inner=settings["intermediate_size"],
            layers=settings["num_hidden_layers"],
            heads=settings["num_attention_heads"],
            groups=settings.get("num_key_value_heads"),
            head_size=settings.get("head_dim"),
            context=settings.get("max_position_embeddings", 2048),
            epsilon=settings.get("rms_norm_eps", 1e-6),
            theta=float(rope.get("rope_theta", settings.get("rope_theta", 10000.0))),
            scaling=scaling_of(rope, where),
            tied=settings.get("tie_word_embeddings", False),
            spread=settings.get("initializer_range", 0.02),
        )
    except KeyError as error:
        raise SpecError(f"{where}: {_CONFIG} lacks {error}.") from None


def _tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if (folder / _INDEX).is_file():
        wanted = sorted(set(_json(folder / _INDEX).get("weight_map", {}).values()))
        if not wanted or any(Path(name).name != name for name in wanted):
            raise SpecError(f"{folder / _INDEX} names no files of this folder.")
    else:
        wanted = [_SINGLE]
    tensors: dict[str, Tensor] = {}
    files: dict[str, str] = {}
    for name in wanted:
        part = _load(folder / name)
        tensors |= part
        files |= dict.fromkeys(part, name)
    return tensors, files


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise SpecError(f"{file.parent} has no {file.name}; expected a model saved as safetensors.")
    try:
        return load_file(file)
    except (SafetensorError, ValueError, OSError) as error:
        raise SpecError(f"{file} is no whole safetensors file: {error}. Copy or save it again.") from None


def _tokens_of(folder: Path) -> int | None:
    """One more than the largest token id of `tokenizer.json`."""
    if not (folder / "tokenizer.json").is_file():
        return None
    content = _json(folder / "tokenizer.json")
    vocabulary = content.get("model", {}).get("vocab", {})
    numbers = list(vocabulary.values()) if isinstance(vocabulary, dict) else list(range(len(vocabulary)))
    numbers += [token["id"] for token in content.get("added_tokens", [])]
    return max(numbers, default=-1) + 1


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError as error:
        raise SpecError(f"{file} is no JSON: {error}.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{file} holds no JSON object.")
    return content
