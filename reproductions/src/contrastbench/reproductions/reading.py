"""Reading data files strictly: every field is taken by name and type, and what is left over is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from contrastbench.core.errors import InputError

_NAME = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")


def read_yaml(path: Path) -> Fields:
    """Read a YAML file (safe tags only) whose top is a mapping.

    Raises:
        InputError: if it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of fields")
    return Fields(path, "", content)


class Fields:
    """The fields of one mapping in a file. Each is taken once; ``end`` complains of the rest.

    Args:
        path: the file, for messages.
        prefix: where in the file the mapping is, for messages ("rows[2].").
        content: the mapping.
    """

    def __init__(self, path: Path, prefix: str, content: dict[str, Any]) -> None:
        self._path = path
        self._prefix = prefix
        self._content = content
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def error(self, key: str, problem: str) -> InputError:
        """Return the error that says what is wrong with a field of this mapping."""
        return InputError(f"{self._path}: {self._prefix}{key}: {problem}")

    def end(self) -> None:
        """Raise InputError if a field was never asked for: most likely a misspelt one."""
        left = sorted(map(str, set(self._content) - self._taken))
        if left:
            raise self.error(left[0], f"unknown field; known here: {', '.join(sorted(self._taken))}")

    def _take(self, key: str, expected: str, kinds: type | tuple[type, ...]) -> Any:
        self._taken.add(key)
        if key not in self._content:
            raise self.error(key, f"missing; expected {expected}")
        value = self._content[key]
        # a YAML boolean is an int to Python, and never meant as a number here
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise self.error(key, f"expected {expected}, found {value!r}")
        return value

    def text(self, key: str) -> str:
        """Take a text that is not empty."""
        value: str = self._take(key, "a text", str)
        if not value.strip():
            raise self.error(key, "expected a text, found an empty one")
        return value.strip()

    def optional_text(self, key: str) -> str | None:
        """Take a text, or None where the field is absent."""
        self._taken.add(key)
        return self.text(key) if key in self._content else None

    def name(self, key: str) -> str:
        """Take an identifier: lower-case letters, digits, and single hyphens or underscores between them."""
        value = self.text(key)
        if not _NAME.fullmatch(value):
            raise self.error(key, f"'{value}' is not a name of lower-case letters, digits, '-' and '_'")
        return value

    def choice(self, key: str, options: Sequence[str]) -> str:
        """Take one of a few texts."""
        value = self.text(key)
        if value not in options:
            raise self.error(key, f"expected one of {', '.join(options)}, found '{value}'")
        return value

    def number(self, key: str) -> float:
        """Take a number: a whole one stays whole, so that it can be printed as it was written."""
        value: float = self._take(key, "a number", (int, float))
        return value

    def flag(self, key: str) -> bool:
        """Take true or false; false where the field is absent."""
        self._taken.add(key)
        return bool(self._take(key, "true or false", bool)) if key in self._content else False

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        """Take a list of texts."""
        self._taken.add(key)
        if optional and key not in self._content:
            return ()
        values = self._take(key, "a list of texts", list)
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise self.error(key, f"expected a list of texts, found {value!r} in it")
        return tuple(value.strip() for value in values)

    def text_map(self, key: str, keys: Sequence[str]) -> dict[str, str]:
        """Take a mapping of texts over some of the given keys; empty where the field is absent."""
        node = self.optional_child(key)
        if node is None:
            return {}
        taken = {k: node.text(k) for k in keys if k in node}
        node.end()
        return taken

    def texts_map(self, key: str) -> dict[str, tuple[str, ...]]:
        """Take a mapping of lists of texts; empty where the field is absent."""
        node = self.optional_child(key)
        return {} if node is None else {str(k): node.texts(k) for k in node._content}

    def number_map(self, key: str, keys: Sequence[str]) -> dict[str, float]:
        """Take a mapping of numbers over some of the given keys, at least one."""
        node = self.child(key)
        taken = {k: node.number(k) for k in keys if k in node}
        node.end()
        if not taken:
            raise self.error(key, f"expected numbers for some of {', '.join(keys)}")
        return taken

    def child(self, key: str) -> Fields:
        """Take a mapping, as fields of their own."""
        return Fields(self._path, f"{self._prefix}{key}.", self._take(key, "a mapping", dict))

    def optional_child(self, key: str) -> Fields | None:
        """Take a mapping, or None where the field is absent."""
        self._taken.add(key)
        return self.child(key) if key in self._content else None

    def children(self, key: str) -> dict[str, Fields]:
        """Take a mapping of mappings."""
        node = self.child(key)
        return {str(k): node.child(k) for k in node._content}

    def items(self, key: str, *, optional: bool = False) -> list[Fields]:
        """Take a list of mappings."""
        self._taken.add(key)
        if optional and key not in self._content:
            return []
        values = self._take(key, "a list of mappings", list)
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.error(f"{key}[{i}]", f"expected a mapping, found {value!r}")
        return [Fields(self._path, f"{self._prefix}{key}[{i}].", v) for i, v in enumerate(values)]
