"""The compiler refuses what the interpreter lets pass, with no GPU at hand."""

import pytest

pytest.importorskip("triton")

import triton
import triton.language as tl

from contrastbench.core.testing.kernels import compiles_for_gpu

SIGNATURE = {"x_ptr": "*fp32", "out_ptr": "*fp32", "size": "i32"}


@triton.jit
def add_one(x_ptr, out_ptr, size, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < size) + 1, mask=at < size)


@triton.jit
def small_product(x_ptr, out_ptr, size, block: tl.constexpr):
    at = tl.arange(0, block)[:, None] * block + tl.arange(0, block)[None, :]
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, tl.dot(x, x))


def test_a_kernel_compiles_without_a_gpu():
    footprint = compiles_for_gpu(add_one, SIGNATURE, {"block": 128}, divisible=["size"])
    assert 0 < footprint.registers <= 255
    assert footprint.stack == footprint.shared == 0


def test_a_kernel_the_compiler_refuses_is_named_with_its_words():
    with pytest.raises(AssertionError, match=r"(?s)small_product does not compile.*K >= ?\d"):
        compiles_for_gpu(small_product, SIGNATURE, {"block": 4})


def test_an_argument_that_is_missing_is_named():
    with pytest.raises(AssertionError, match="block"):
        compiles_for_gpu(add_one, SIGNATURE, {})
