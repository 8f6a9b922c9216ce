"""Docstrings in Google's form as Markdown: prose stays prose, sections become lists."""

from __future__ import annotations

import re
import textwrap

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$")
_TITLES = {
    "Args": "Arguments",
    "Returns": "Returns",
    "Raises": "Raises",
    "Yields": "Yields",
    "Attributes": "Attributes",
}
_ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*)(?: \([^)]*\))?: (.*)", re.DOTALL)


def as_markdown(docstring: str) -> str:
    """Return a docstring, indentation already removed, as Markdown."""
    parts: list[str] = []
    title, block = None, []
    for line in [*docstring.splitlines(), "Args:"]:
        found = _SECTION.match(line)
        if found or (title is not None and line and not line.startswith(" ")):
            text = textwrap.dedent("\n".join(block)).strip("\n")
            if text:
                parts.append(_prose(text) if title is None else f"**{_TITLES[title]}**\n\n{_items(text, title)}")
            title, block = (found[1], []) if found else (None, [line])
        else:
            block.append(line)
    return "\n\n".join(parts)


def _items(text: str, title: str) -> str:
    """Return a section's entries, each a line that is not indented and what hangs below it, as a list."""
    if title in ("Returns", "Yields"):
        return _prose(text)
    entries: list[list[str]] = []
    for line in text.splitlines():
        if entries and (not line.strip() or line.startswith(" ")):
            entries[-1].append(line)
        else:
            entries.append([line])
    told = []
    for lines in entries:
        found = _ITEM.match("\n".join([lines[0], textwrap.dedent("\n".join(lines[1:]))]).strip())
        text = " ".join("\n".join(lines).split())
        told.append(f"- `{found[1]}`: {_words(' '.join(found[2].split()))}" if found else f"- {_words(text)}")
    return "\n".join(told)


def _prose(text: str) -> str:
    """Return paragraphs; what is indented in them, or follows ``::``, stays as it stands."""
    told = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        if all(line.startswith("    ") for line in lines):
            told.append("```text\n" + textwrap.dedent(paragraph) + "\n```")
        elif all(line.startswith(("- ", "  ")) for line in lines):
            told.append("\n".join(line[:2] + _words(line[2:]) for line in lines))
        elif any(line.startswith("    ") for line in lines):
            cut = next(i for i, line in enumerate(lines) if line.startswith("    "))
            told.append(_words(" ".join(lines[:cut])))
            told.append("```text\n" + textwrap.dedent("\n".join(lines[cut:])) + "\n```")
        else:
            told.append(_words(" ".join(line.strip() for line in lines)).removesuffix(":") + _colon(lines[-1]))
    return "\n\n".join(part for part in told if part)


def _colon(line: str) -> str:
    return ":" if line.rstrip().endswith(":") else ""


def _words(text: str) -> str:
    """Return running text: code stays code, roles become code, and nothing else is markup."""
    text = re.sub(r":[a-z]+:`~(?:[\w]+\.)*(\w+)`", r"``\1``", text)
    text = re.sub(r":[a-z]+:`([^`]+)`", r"``\1``", text)
    pieces = re.split(r"(``.+?``)", text)
    return "".join(p if i % 2 else re.sub(r"([\\`*_{}\[\]<>#|$~^&])", r"\\\1", p) for i, p in enumerate(pieces))
