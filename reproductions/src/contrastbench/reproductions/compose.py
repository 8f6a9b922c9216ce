"""Composing configurations with Hydra, and saying in one line what is wrong with an override."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from contrastbench.core.errors import InputError, unknown_name

CONF = "contrastbench.reproductions.conf"
ENTRY_POINTS = "contrastbench.conf"
"""Packages name the module of their configuration groups under this entry point group."""


@contextmanager
def hydra_session() -> Iterator[None]:
    """Initialise Hydra on the engine's configuration; composing and launching happen inside."""
    with initialize_config_module(CONF, version_base="1.3", job_name="reproduce"):
        yield


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse Hydra overrides.

    Raises:
        InputError: naming the first that is malformed, given twice, or a sweep.
    """
    parser = OverridesParser.create()
    parsed: list[Override] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            raise InputError(
                f"malformed override '{text}'; expected key=value, with quotes around values that hold "
                f"any of ,=()[]{{}} (key='\"value\"' in a shell)"
            ) from error
        if override.is_sweep_override():
            raise InputError(f"'{text}' gives several values; write a list as key=[a,b]")
        if any(_key(override) == _key(other) for other in parsed):
            raise InputError(f"'{_key(override)}' is given twice in the overrides")
        parsed.append(override)
    return parsed


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration, the ``hydra`` node included, inside a ``hydra_session``.

    Raises:
        InputError: if an override names no key or option (with the nearest ones).
    """
    paths = [f"pkg://{point.value}" for point in entry_points(group=ENTRY_POINTS)]
    rest: list[str] = []
    for override in parse_overrides(overrides):
        if override.key_or_group == "hydra.searchpath":
            value = override.value()
            paths += [str(v) for v in value] if isinstance(value, list) else [str(value)]
        else:
            rest.append(str(override.input_line))
    full = [f"hydra.searchpath=[{','.join(quoted(path) for path in sorted(paths))}]", *rest]
    try:
        return hydra_compose("run", full, return_hydra_config=True)
    except HydraException as error:
        raise _explained(error, rest, full[0]) from error


def choice(config: DictConfig, group: str) -> str:
    """Return which option of a group a composed configuration was made with."""
    return str(config.hydra.runtime.choices[group])


def container(config: DictConfig, key: str) -> Any:
    """Return a part of the configuration as plain values, interpolations resolved.

    Raises:
        InputError: if a value that only the user can give is missing, or cannot be resolved.
    """
    try:
        # resolved as part of the whole, as what it refers to lies outside it
        node = OmegaConf.select(config, key, throw_on_missing=True)
        if not OmegaConf.is_config(node):
            return node
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        missing = _first_missing(config) or key
        raise InputError(f"{missing} must be given: add {missing}=...") from error
    except OmegaConfBaseException as error:
        raise InputError(f"the configuration cannot be resolved: {_first_line(error)}") from error


def quoted(text: str) -> str:
    """Return a text such that Hydra's override grammar takes it as it is, whatever is in it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _key(override: Override) -> str:
    package = f"@{override.package}" if override.package else ""
    return f"{override.key_or_group}{package}"


def _explained(error: HydraException, overrides: Sequence[str], searchpath: str) -> InputError:
    """Return the one clear message for what Hydra found wrong."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return unknown_name(group or "configuration", option, error.options)
    found = re.match(r"Could not override '([^']+)'", str(error)) or re.match(
        r"Could not delete from config. '([^']+)'", str(error)
    )
    if found:
        known = _known_keys(found[1], overrides, searchpath)
        if found[1] in known:
            # the key is there, and what it was given does not fit it
            return InputError(
                f"'{found[1]}' does not take that value: {_first_line(error.__cause__ or error)}; "
                f"a key that is not there yet is added with +{found[1]}.KEY=VALUE"
            )
        return unknown_name("configuration key", found[1], known)
    return InputError(f"the overrides cannot be applied: {_first_line(error)}")


def _known_keys(unknown: str, overrides: Sequence[str], searchpath: str) -> list[str]:
    """Return the keys and groups that could have been meant, those at the same depth or beyond."""
    groups = [o for o in parse_overrides(overrides) if "." not in o.key_or_group and _key(o) != unknown]
    try:
        config = hydra_compose("run", [searchpath, *(str(o.input_line) for o in groups)], True)
    except HydraException:
        # another override is wrong as well: fall back to what is known without any
        config = hydra_compose("run", [searchpath], True)
    keys = {key for key in _flat(config) if not key.startswith("hydra.")}
    return sorted(keys | {str(group) for group in config.hydra.runtime.choices})


def _flat(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        # what is missing, nothing or refers elsewhere has no keys of its own
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            child = node[key]
            if isinstance(child, DictConfig):
                yield from _flat(child, f"{prefix}{key}.")


def _first_missing(config: DictConfig) -> str | None:
    for key in _flat(config):
        parent, _, last = key.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if not key.startswith("hydra.") and OmegaConf.is_missing(node, last):
            return key
    return None


def _first_line(error: BaseException) -> str:
    cause = error
    while not str(cause).strip() and cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause).strip().splitlines()[0]
