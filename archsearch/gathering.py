"""Where settings come from: flags over a file over the environment."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from archsearch.errors import UserError
from archsearch.fields import Value, from_text
from archsearch.settings import PART, RIVALS, SETTINGS, RunSettings, flat, take

ENVIRONMENT_PREFIX: Final = "ARCHSEARCH_"
MLFLOW_ADDRESS: Final = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for where runs go; it counts where nothing else says so."""
_UNHEEDED: Final = {
    "MLFLOW_EXPERIMENT_NAME": "the experiment is named after the study, --name",
    "MLFLOW_EXPERIMENT_ID": "the experiment is named after the study, --name",
    "MLFLOW_RUN_ID": "each training has a run of its own",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "runs are written by a thread that waits for each answer",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "what workers take of the machine is kept by trial",
    "OPTUNA_STORAGE": "it is for Optuna's own commands; --storage or ARCHSEARCH_STORAGE is for this one",
}
"""Variables of MLflow's and Optuna's that somebody may expect to count, and why they do not."""


def gather(
    flags: Mapping[str, object],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    study: Mapping[str, object] | None = None,
) -> RunSettings:
    """Put settings together: `flags` over the file `config` over those of a `study` over `ARCHSEARCH_*`.

    The study is the one whose network is trained in full; `environ` has the variables. Those that are
    for another command do not count.

    Where none of them says where runs go, MLflow's own MLFLOW_TRACKING_URI does.

    A flag that is None was not given. Where two settings exclude each other (`epochs` and `train_flops`),
    a stronger source's choice removes a weaker one's.

    Raises:
        UserError: a file that cannot be read, or anything `RunSettings.from_dict` refuses.
    """
    read = {} if config is None else read_toml(config)
    command = "train" if (flags.get("network") or read.get("network")) else "run"
    sources = [
        (_from_environment(environ or {}, command), "environment: "),
        (study or {}, ""),
        (read, f"{config}: "),
        ({key: value for key, value in flags.items() if value is not None}, ""),
    ]
    rivals = [pair for one, other, _ in RIVALS for pair in ((one, other), (other, one))]
    merged: dict[str, object] = {}
    for values, where in sources:
        checked = {key: take(key, value, where=where) for key, value in flat(values).items()}
        for one, other in rivals:
            if one in checked and other not in checked:
                merged.pop(other, None)
        merged |= checked
    return RunSettings.from_dict(merged)


def read_toml(path: Path) -> dict[str, object]:
    """Read a settings file.

    Raises:
        UserError: the file is missing, unreadable or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        text = " ".join(str(error).split())
        raise UserError(f"settings file {str(path)!r} is no TOML: {text}") from None
    except (ValueError, RecursionError):  # a name with a NUL in it; brackets without end
        reason = "it is no settings file"
    raise UserError(f"settings file {str(path)!r} cannot be read: {reason}") from None


def read_parts(texts: Iterable[str]) -> dict[str, Value]:
    """Read a recipe's parts as `--set` takes them, `recipe.base_lr=0.4` each; of two values the last counts.

    A value is read as in a TOML file, where quotes may be left out: `true`, `64`, `0.4`, `step`, `0.5,0.75`.

    Raises:
        UserError: a text names no part of a recipe, or has no value.
    """
    parts = {}
    for text in texts:
        key, equals, value = (piece.strip() for piece in text.partition("="))
        known = SETTINGS.get("recipe" if key == f"{PART}name" else key)
        if known is not None:
            raise UserError(f"--set {text!r}: a recipe's parts are set so; {known.flag} sets {key}")
        if not equals or not key.startswith(PART):
            raise UserError(f"--set {text!r} sets no part of a recipe; write recipe.base_lr=0.4")
        parts[key.removeprefix(PART)] = _scalar(value)
    return parts


def differences(stored: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    """List the settings that differ, one text each: `trials: 8 there, 12 here`.

    A study from before there was a setting had its default.
    """
    preset = {s.name: s.default for s in SETTINGS.values() if s.default is not None}
    there, here = {**preset, **stored}, {**preset, **asked}
    return [
        f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} here"
        for key in dict.fromkeys((*stored, *asked))
        if there.get(key) != here.get(key)
    ]


def _scalar(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _from_environment(environ: Mapping[str, str], command: str) -> dict[str, object]:
    """Pick this program's variables; one of no known name belongs to someone else."""
    found: dict[str, object] = {}
    for name, known in SETTINGS.items():
        text = environ.get(ENVIRONMENT_PREFIX + name.upper())
        if text and known.declared.variable and known.belongs_to(command):
            found[name] = from_text(known.kind, text)
    if address := environ.get(MLFLOW_ADDRESS):
        found.setdefault("tracking_uri", address)
    return found


def with_environment(settings: RunSettings, environ: Mapping[str, str]) -> RunSettings:
    """Fill in where runs go, where settings made in Python leave it open and MLflow's variable says it."""
    address = environ.get(MLFLOW_ADDRESS)
    if settings.tracking_uri is not None or not address:
        return settings
    return replace(settings, tracking_uri=address)


def unheeded(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say of each variable that is set, and that does not count, why; one line each."""
    return tuple(
        f"{name} is not heeded: {why}" for name, why in _UNHEEDED.items() if environ.get(name)
    )
