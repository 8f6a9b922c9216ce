"""What code a run depends on: a digest of the modules its configuration names and of all they import.

Comments, docstrings and layout take no part, so that changing them re-runs nothing. Nothing is imported to
find this out: imports are read from the source, so one under a computed name is not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

DOTTED_KEYS = ("_target_", "type")
"""The configuration keys whose dotted values name code."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def source_digest(experiment: Mapping[str, Any]) -> str:
    """Return the digest (sha256, hexadecimal) of the source that an experiment's configuration reaches.

    The modules it names by dotted path are read, then what these import of their own top-level packages,
    and so on. Other packages are told apart by their versions instead.
    """
    waiting = [part for name in _named(experiment) for part in _prefixes(name)]
    roots = {name.partition(".")[0] for name in waiting}
    digests: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        path = None if name in digests else _module_file(name)
        if path is None:
            continue
        stamp = path.stat()
        digests[name], imported = _read(path, name, stamp.st_mtime_ns, stamp.st_size)
        waiting += [part for i in imported if i.partition(".")[0] in roots for part in _prefixes(i)]
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def canonical(node: ast.AST) -> str:
    """Return a syntax tree as text, without docstrings and positions, the same under any Python version.

    ``ast.dump`` would do but for the fields that versions add, or leave out when they are empty.
    """
    fields = []
    for field, value in ast.iter_fields(node):
        if field == "body" and isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)):
            value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
        if value is None or value == []:
            continue
        if isinstance(value, list):
            text = ",".join(canonical(v) if isinstance(v, ast.AST) else repr(v) for v in value)
            fields.append(f"{field}=[{text}]")
        else:
            fields.append(f"{field}={canonical(value) if isinstance(value, ast.AST) else repr(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _named(node: Any) -> Iterator[str]:
    """Yield every dotted path under one of the keys that name code."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in DOTTED_KEYS and isinstance(value, str) and "." in value:
                yield value
            else:
                yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)


def _prefixes(name: str) -> list[str]:
    """Return a dotted name and all its parents, as a module's packages are imported before it."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _module_file(name: str) -> Path | None:
    """Return the source file of a module; None for what is no module, or a package without code."""
    root, *inner = name.split(".")
    spec = PathFinder.find_spec(root)
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for location in spec.submodule_search_locations or ():
        place = Path(location, *inner)
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                return file
    return None


@cache
def _read(path: Path, name: str, _mtime: int, _size: int) -> tuple[str, tuple[str, ...]]:
    """Return a module's digest, and the names it imports; read again when the file changes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return hashlib.sha256(canonical(tree).encode()).hexdigest(), tuple(_imports(tree, package))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the absolute names that a module imports; what it takes from a module may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
