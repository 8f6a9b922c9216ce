"""The API reference: before a build, one page for each package and each room of the core, from the docstrings.

The sources are read, not imported: no framework has to be there, and the same sources give the same pages. They are
written under ``docs/api``, which git ignores.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Any

from docstrings import as_markdown

ROOT = Path(__file__).parents[2]
MEMBERS = (
    "shared",
    "packages/contextrast",
    "packages/dcl",
    "packages/longtail",
    "packages/pixel-contrast",
    "reproductions",
)


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return every module of every distribution by name, those of Hydra's configuration aside."""
    found = {}
    for member in MEMBERS:
        source = root / member / "src"
        for file in source.rglob("*.py"):
            parts = file.relative_to(source).with_suffix("").parts
            if "conf" not in parts:
                found[".".join(parts).removesuffix(".__init__")] = file
    return dict(sorted(found.items()))


def pages(root: Path = ROOT) -> dict[str, str]:
    """Return the pages of the reference by name, without their suffix."""
    by_page: dict[str, list[str]] = defaultdict(list)
    found = modules(root)
    for module in found:
        by_page[_page_of(module)].append(module)
    # modules of the core that are no folder stand together
    for page in [page for page, own in by_page.items() if page.startswith("contrastbench.core.") and own == [page]]:
        by_page["contrastbench.core"] += by_page.pop(page)
    told = {page: _page(page, {module: found[module] for module in own}) for page, own in by_page.items()}
    entries = "\n".join(sorted(told))
    told["index"] = (
        "# API reference\n\nFrom the docstrings. What stands first on a page under *exported* is what users import."
        f"\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )
    return told


def _page_of(module: str) -> str:
    """Return the page that a module stands on: its package, in the core its room."""
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[1] == "core" else 2])


def _page(page: str, own: dict[str, Path]) -> str:
    parts = [f"# {page}"]
    for module, file in own.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = [text for node in tree.body for text in _object(node, "###")]
        exported = _exported(tree)
        if module != page:
            parts.append(f"## {module.removeprefix(page + '.')}")
            parts.append(f"`{module}`")
        parts.append(as_markdown(ast.get_docstring(tree) or ""))
        if exported:
            parts.append("*Exported:* " + ", ".join(f"`{name}`" for name in exported))
        parts += inside
    return "\n\n".join(part for part in parts if part) + "\n"


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _object(node: ast.stmt, level: str) -> list[str]:
    """Return a public class or function with its public methods, or nothing."""
    if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
        return []
    told = [f"{level} {node.name}", f"```python\n{_signature(node)}\n```", as_markdown(ast.get_docstring(node) or "")]
    if isinstance(node, ast.ClassDef):
        told += [text for inner in node.body if _told(inner) for text in _object(inner, level + "#")]
    return told


def _told(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign) and not _private(n)]
        inside = [_function(made[0])] if made else fields
        return "\n    ".join([f"class {node.name}{bases}:", *inside]) if inside else f"class {node.name}{bases}"
    marks = [f"@{ast.unparse(mark)}" for mark in node.decorator_list if isinstance(mark, ast.Name)]
    return "\n".join([*marks, _function(node)])


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returned}"


def _private(node: ast.AnnAssign) -> bool:
    return isinstance(node.target, ast.Name) and node.target.id.startswith("_")


def _write(app: Any, config: Any) -> None:
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    told = pages()
    for stale in {file.stem for file in folder.glob("*.md")} - set(told):
        (folder / f"{stale}.md").unlink()
    for name, text in told.items():
        file = folder / f"{name}.md"
        # what has not changed is not read again by the next build
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True}
