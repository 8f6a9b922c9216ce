"""What the tests of kernels share: where they run, whether they compile, memory that shows an early read."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


def kernel_device() -> torch.device:
    """Return where kernels are tested: on a GPU, or in Triton's interpreter on the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill all memory that is allocated meanwhile with NaN (the largest number, of integers)."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        # What is wanted is the filling alone, not that every op be deterministic.
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def spread_out(tensor: Tensor) -> Tensor:
    """Return a tensor of the same values with gaps between its elements, as a slice of a larger one has them."""
    wide = tensor.new_empty([2 * size for size in tensor.shape])
    out = wide[tuple(slice(None, None, 2) for _ in tensor.shape)]
    out.copy_(tensor.detach())
    return out.requires_grad_(tensor.requires_grad)


def check_op(op: Any, *arguments: Any) -> None:
    """Run torch's checks of a custom op: schema, autograd registration, fake tensors, tracing.

    Raises:
        AssertionError: naming the checks that failed.
    """
    found = torch.library.opcheck(op, arguments, raise_exception=False)
    failed = {name: result for name, result in found.items() if result != "SUCCESS"}
    assert not failed, failed


class Footprint(NamedTuple):
    """What a compiled kernel takes of a multiprocessor.

    ``registers`` of a thread (255 at most); bytes of ``stack`` of a thread (0, or it spills); bytes of ``shared``
    memory of a program (232,448 at most on an H100).
    """

    registers: int
    stack: int
    shared: int


def compiles_for_gpu(
    kernel: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    divisible: Sequence[str] = (),
    capability: int = 90,
    warps: int = 4,
    stages: int = 3,
) -> Footprint:
    """Compile a Triton kernel to machine code for an NVIDIA GPU; none is needed.

    The interpreter accepts much that the compiler refuses. This runs the compiler and ptxas, in a process of its own
    where the interpreter is off.

    Args:
        kernel: a function under ``triton.jit``, at the top level of its file; the interpreter's form of it will do.
        signature: the type of each argument that is no constant: ``"*fp32"``, ``"*i64"``, ``"i32"``, ``"fp32"``.
        constants: the values of the ``tl.constexpr`` arguments, and of strides that are 1, which a launch makes
            constants. They travel as JSON.
        divisible: integer arguments that a launch would find to be multiples of 16. Pointers are taken to be aligned.
        capability: 90 for H100 and H200, 80 for A100.
        warps: ``num_warps`` of the launch.
        stages: ``num_stages`` of the launch.

    Raises:
        AssertionError: with what the compiler says.
    """
    while not inspect.isfunction(kernel):  # under jit, autotune, the interpreter
        kernel = kernel.fn
    order = list(inspect.signature(kernel).parameters)
    assert set(order) == {*signature, *constants}, f"arguments are {order}, not {[*signature, *constants]}"
    aligned = [name for name, kind in signature.items() if kind.startswith("*") or name in divisible]
    task = {
        "file": inspect.getfile(kernel),
        "name": kernel.__name__,
        "signature": {name: signature.get(name, "constexpr") for name in order},
        "constants": dict(constants),
        "aligned": [order.index(name) for name in aligned],
        "capability": capability,
        "options": {"num_warps": warps, "num_stages": stages},
    }
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(task), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{kernel.__name__} does not compile:\n{done.stderr[-4000:]}"
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def _compile(task: Mapping[str, Any]) -> Footprint:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    spec = importlib.util.spec_from_file_location("kernels_to_compile", task["file"])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel = getattr(module, task["name"])
    while not isinstance(kernel, triton.JITFunction):
        kernel = kernel.fn
    source = ASTSource(
        fn=kernel,
        signature=task["signature"],
        constexprs=task["constants"],
        attrs={(i,): [["tt.divisibility", 16]] for i in task["aligned"]},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", task["capability"], 32), options=task["options"])
    return Footprint(*_registers_and_stack(compiled.asm["cubin"]), compiled.metadata.shared)


def _registers_and_stack(cubin: bytes) -> tuple[int, int]:
    from triton.backends import nvidia

    cuobjdump = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run(
            [cuobjdump, "--dump-resource-usage", file.name], check=True, capture_output=True, text=True
        ).stdout
    registers, stack = (int(re.findall(rf"{what}:(\d+)", told)[0]) for what in ("REG", "STACK"))
    return registers, stack


if __name__ == "__main__":
    print(json.dumps(_compile(json.load(sys.stdin))._asdict()))
