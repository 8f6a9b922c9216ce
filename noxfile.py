"""Sessions provision an environment and forward their arguments; what they run knows nothing of nox."""

from __future__ import annotations

import os

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

PACKAGES = ["contextrast", "dcl", "longtail", "pixel-contrast"]
MEMBERS = ["shared", *(f"packages/{name}" for name in PACKAGES), "reproductions"]
PYTHON_FILES = [*MEMBERS, "tests", "docs", "noxfile.py"]


def install(session: nox.Session) -> None:
    """Install the pinned third-party distributions, hashes checked, then the workspace over them."""
    session.run_install(
        "uv", "pip", "install", "--quiet", "--require-hashes", "--requirement", "constraints.txt", silent=True
    )
    session.run_install(
        "uv", "pip", "install", "--quiet", "--no-deps", *(f"--editable={m}" for m in MEMBERS), silent=True
    )


@nox.session(name="reproduce-table")
def reproduce_table(session: nox.Session) -> None:
    """Train a table's rows, print reported beside reproduced: -- [PAPER/TABLE] [Hydra overrides]."""
    install(session)
    session.run("reproduce", "run", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test that this machine can: -- [pytest arguments]."""
    install(session)
    # Tests run side by side, one thread each.
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    session.run("pytest", "-n", str(os.cpu_count() or 1), "--dist", "worksteal", *session.posargs, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    install(session)
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    session.run("mypy", *(f"{member}/src" for member in MEMBERS))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure formulations side by side: -- [NAME ...] [--device cpu|cuda] [--threads N] [--json FILE] [--list]."""
    install(session)
    session.run("python", "shared/benchmarks/run.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the results pages from the records and build the site; a warning is an error."""
    install(session)
    session.run(
        "reproduce", "docs", "docs/results", "--readme=README.md", "--benchmarks=reproductions/benchmarks/results"
    )
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "docs", "docs/_build", *session.posargs)


@nox.session
def constraints(session: nox.Session) -> None:
    """Resolve constraints.txt anew: -- [uv pip compile arguments, such as --upgrade]."""
    ours = ("core", *PACKAGES, "reproductions")
    session.run_install(
        "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header",
        "--python-version=3.11", "--all-extras", "--group=pyproject.toml:dev",
        *(f"--no-emit-package=contrastbench-{name}" for name in ours),
        "--no-emit-package=detectron2",  # from its own repository, which has no hash to check
        *(f"{member}/pyproject.toml" for member in MEMBERS),
        "--output-file=constraints.txt", *session.posargs,
    )  # fmt: skip
