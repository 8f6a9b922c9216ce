from functools import partial

import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.losses import KeyTable, select_pairs
from contrastbench.core.ops.top_fraction import Draw, class_seeds, top_fraction
from contrastbench.core.ops.top_fraction.priorities import priorities, seed_words
from contrastbench.core.samplers import RandomPairs, SemiHardPairs
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

DRAWS = (Draw(3, own=True, farthest=True), Draw(6, own=False, farthest=False))
TABLES = {"one": (23,), "three": (5, 0, 40)}


@pytest.fixture
def small_kernels(monkeypatch):
    """Blocks of the size of the problems: several parts a row, several bands."""
    module = pytest.importorskip("contrastbench.core.ops.top_fraction.triton")
    if kernel_device().type == "cpu":
        monkeypatch.setattr(module, "_BLOCK", 32)
        monkeypatch.setattr(module, "_TILE", (16, 64, 16))
        monkeypatch.setattr(module, "_BAND_ELEMENTS", 150)
    return module


def whole_numbers(*shape, generator, dtype=torch.float32):
    """Products of these are exact in any order, and many are equal."""
    return torch.randint(-2, 3, shape, generator=generator).to(dtype)


def problem(generator, sizes=(5, 0, 40), anchors=5, dim=5, dtype=torch.float32, key_dtype=None):
    """Anchors of three classes, keys of four and of none; not every anchor may meet every key of the first table."""
    numbers = partial(whole_numbers, generator=generator)
    labels = torch.randint(0, 3, (anchors,), generator=generator)
    keys = [numbers(n, dim, dtype=key_dtype or dtype) for n in sizes]
    key_labels = [torch.randint(-1, 4, (n,), generator=generator) for n in sizes]
    eligible = torch.rand(anchors, sizes[0], generator=generator) < 0.7
    return numbers(anchors, dim, dtype=dtype), labels, keys, key_labels, eligible


def call(given, impl, draws=DRAWS, fraction=0.3, device="cpu", key=(1, 2)):
    anchors, labels, keys, key_labels, eligible = given
    seeds = class_seeds(labels, key, len(draws)).to(device)
    chosen = top_fraction(
        anchors.to(device),
        labels.to(device),
        [k.to(device) for k in keys],
        [x.to(device) for x in key_labels],
        draws,
        seeds,
        fraction=fraction,
        eligible=None if eligible is None else eligible.to(device),
        impl=impl,
    )
    return [c.cpu() for c in chosen]


def loop(given, draws, fraction, words):
    """One anchor and one key at a time, in Python's own numbers."""
    anchors, labels, keys, key_labels, eligible = given
    table, classes = torch.cat(keys).tolist(), torch.cat(key_labels).tolist()
    out = [[] for _ in draws]
    for i, x in enumerate(anchors.tolist()):
        for s, draw in enumerate(draws):
            met = [j for j, c in enumerate(classes) if c >= 0 and (c == int(labels[i])) == draw.own]
            if eligible is not None:
                met = [j for j in met if j >= eligible.shape[1] or eligible[i, j]]
            near = {j: sum(a * b for a, b in zip(x, table[j], strict=True)) for j in met}
            met.sort(key=lambda j: (near[j] if draw.farthest else -near[j], j))
            part = met[: -int(-len(met) * fraction // 1)]
            rank = priorities(words[i, s], torch.tensor(part, dtype=torch.int64)).tolist()
            first = sorted(zip(rank, part, strict=True), reverse=True)[: draw.k]
            out[s].append(sorted(j for _, j in first) + [-1] * (draw.k - len(first)))
    return out


@pytest.mark.parametrize("sizes", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("fraction", [0.25, 1.0])
def test_the_reference_equals_a_loop(fraction, sizes, generator):
    for key in range(5):
        given = problem(generator, sizes, dtype=torch.float64)
        draws = (*DRAWS, Draw(2, own=False, farthest=True), Draw(50, own=True, farthest=False))
        words = seed_words(class_seeds(given[1], (key,), len(draws)))
        chosen = call(given, "reference", draws, fraction, key=(key,))
        assert [c.tolist() for c in chosen] == loop(given, draws, fraction, words)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("sizes", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("band", [1 << 25, 100])
def test_blockwise_equals_the_reference(band, sizes, dtype, generator, monkeypatch):
    monkeypatch.setattr("contrastbench.core.ops.top_fraction.blockwise._BAND_ELEMENTS", band)
    monkeypatch.setattr("contrastbench.core.ops.top_fraction.blockwise._KEYS", 7)
    draws = (Draw(2, own=False, farthest=True), *DRAWS, Draw(0, own=False, farthest=False), Draw(70, True, False))
    for fraction in (0.05, 0.3, 1.0):
        given = problem(generator, sizes, anchors=11, dtype=dtype)
        for actual, expected in zip(
            *(call(given, i, draws, fraction) for i in ("blockwise", "reference")), strict=True
        ):
            assert torch.equal(actual, expected)


def test_blockwise_goes_further_where_the_first_stretch_of_the_order_falls_short(generator, monkeypatch):
    given = problem(generator, (6, 400), anchors=12)
    expected = call(given, "reference", fraction=0.1)
    calls = []
    module = pytest.importorskip("contrastbench.core.ops.top_fraction.blockwise")
    take = module._Order._take
    monkeypatch.setattr(module._Order, "_take", lambda *a: calls.append(len(a[-1])) or take(*a))
    init = module._Order.__init__

    def short(self, *arguments):
        init(self, *arguments)
        self.nearly = self.nearly[:10]

    monkeypatch.setattr(module._Order, "__init__", short)
    for actual, wanted in zip(call(given, "blockwise", fraction=0.1), expected, strict=True):
        assert torch.equal(actual, wanted)
    assert max(calls) > 10


@pytest.mark.parametrize(
    ("sizes", "dtype", "key_dtype", "fraction"),
    [
        ((5, 0, 40), torch.float32, None, 0.3),
        ((67,), torch.bfloat16, None, 0.1),
        ((3, 50), torch.float32, torch.float16, 1.0),
    ],
    ids=["three tables", "bfloat16", "mixed"],
)
def test_kernels_equal_the_reference(small_kernels, sizes, dtype, key_dtype, fraction, generator):
    given = problem(generator, sizes, anchors=3, dtype=dtype, key_dtype=key_dtype)
    expected = call(given, "reference", fraction=fraction)
    with poisoned():
        actual = call(given, "triton", fraction=fraction, device=kernel_device())
    assert [a.tolist() for a in actual] == [e.tolist() for e in expected]


def test_kernels_take_tensors_with_gaps_and_all_ways_to_draw(small_kernels, generator):
    anchors, labels, keys, key_labels, _ = problem(generator, (40,), anchors=2, dim=17)
    draws = (Draw(2, own=False, farthest=True), Draw(0, own=False, farthest=False), Draw(50, own=True, farthest=False))
    expected = call((anchors, labels, keys, key_labels, None), "reference", draws)
    gaps = (spread_out(anchors), spread_out(labels), [spread_out(keys[0])], [spread_out(key_labels[0])], None)
    actual = call(gaps, "triton", draws, device=kernel_device())
    assert [a.tolist() for a in actual] == [e.tolist() for e in expected]


def test_zero_and_minus_zero_are_equal(small_kernels):
    anchors, keys = torch.tensor([[1.0]]), torch.tensor([[-0.0], [0.0], [-0.0], [0.0], [-1.0]])
    given = (anchors, torch.tensor([0]), [keys], [torch.ones(5, dtype=torch.int64)], None)
    for impl, device in (("reference", "cpu"), ("blockwise", "cpu"), ("triton", kernel_device())):
        for farthest, expected in ((False, [0, 1]), (True, [0, 4])):
            chosen = call(given, impl, (Draw(2, own=False, farthest=farthest),), 0.4, device)
            assert chosen[0].tolist() == [expected], impl


@pytest.mark.parametrize("impl", ["reference", "blockwise", "triton"])
def test_nothing_to_draw_from(impl, small_kernels, generator):
    device = kernel_device() if impl == "triton" else torch.device("cpu")
    anchors, labels, keys, key_labels, _ = problem(generator, (40,), anchors=2)
    nobody = call((anchors[:0], labels[:0], keys, key_labels, None), impl, device=device)
    assert [list(c.shape) for c in nobody] == [[0, 3], [0, 6]]
    without_keys = call((anchors, labels, [keys[0][:0]], [key_labels[0][:0]], None), impl, device=device)
    empty = call((anchors, labels, keys, [torch.full((40,), -1)], None), impl, device=device)
    alone = call((anchors, torch.full((2,), 9), keys, key_labels, None), impl, device=device)
    for chosen in (*without_keys, *empty, alone[0]):
        assert (chosen == -1).all()
    assert (alone[1] >= 0).all()


def test_the_op_is_well_formed_and_compiles(small_kernels, generator):
    device = kernel_device()
    anchors, labels, keys, key_labels, eligible = problem(generator, (4, 9), anchors=2)
    seeds = class_seeds(labels, (0,), 2)
    tensors = [labels.to(device), [k.to(device) for k in keys], [x.to(device) for x in key_labels]]
    anchors, eligible, seeds = anchors.to(device), eligible.to(device), seeds.to(device)
    check_op(small_kernels._top_fraction, anchors, *tensors, [3, 6], 1, 1, seed_words(seeds), 0.3, eligible)

    def drawn(anchors, seeds):
        return top_fraction(anchors, *tensors, DRAWS, seeds, fraction=0.3, eligible=eligible, impl="triton")

    compiled = torch.compile(drawn, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(compiled(anchors, seeds), drawn(anchors, seeds), strict=True):
        assert torch.equal(actual, expected)


GIVEN = {"similarity": "*fp32", "codes": "*i16", "row_codes": "*i16", "eligible": "*u8", "prefix": "*i32"}
SIZES = {"columns": "i32", "first": "i32", "segment": "i32"}
ONES = {"own_bits": 1, "far_bits": 1}  # a launch makes constants of integers that are 1
STATE = {"left": "*i32", "above": "*i32", "held": "*i32"}
SHAPE = {"rows": "i32", "count": "i32", "dim": "i32", "columns": "i32", "anchors_row": "i32", "keys_row": "i32"}
TILE = {"TILE_R": 64, "TILE_M": 128, "TILE_D": 32, "anchors_col": 1, "keys_col": 1, "WIDEN": False}
COUNT = {**GIVEN, **SIZES, "histogram": "*i32", "held": "*i32"}
SAMPLE = {"candidates": "*i32", "sizes": "*i32", "words": "*i32", "counts": "*i32", "offsets": "*i64", "out": "*i64"}


@pytest.mark.parametrize(
    ("name", "signature", "constants"),
    [
        ("_product", {**SHAPE, "anchors": "*fp32", "keys": "*fp32", "similarity": "*fp32"}, TILE),
        ("_product", {**SHAPE, "anchors": "*bf16", "keys": "*bf16", "similarity": "*fp32"}, TILE),
        ("_count", COUNT, {**ONES, "LEVEL": 1, "BARRED": True, "BLOCK": 4096}),
        ("_narrow", {**STATE, "histogram": "*i32", "prefix": "*i32"}, {"PARTS": 64}),
        (
            "_gather",
            {**GIVEN, **SIZES, **STATE, "candidates": "*i32", "width": "i32"},
            {**ONES, "BARRED": True, "BLOCK": 4096, "PARTS": 64},
        ),
        ("_sample", {**SAMPLE, "width": "i32", "out_row": "i32"}, {"BLOCK": 4096}),
    ],
    ids=["product", "product of bfloat16", "count", "narrow", "gather", "sample"],
)
def test_a_kernel_compiles_for_a_gpu(name, signature, constants):
    module = pytest.importorskip("contrastbench.core.ops.top_fraction.triton")
    footprint = compiles_for_gpu(getattr(module, name), signature, constants, warps=8)
    assert footprint.registers <= 255
    assert footprint.stack <= 16


def test_each_key_within_the_part_is_as_likely_and_so_is_each_pair():
    generator = torch.Generator().manual_seed(5)
    keys, anchors = torch.randn(200, 4, generator=generator), torch.randn(1, 4, generator=generator)
    trials, k, part = 4000, 5, 20
    seeds = torch.arange(trials)[:, None]  # neighbouring numbers, the worst that anyone would use
    (chosen,) = top_fraction(
        anchors.expand(trials, 4),
        torch.zeros(trials, dtype=torch.int64),
        [keys],
        [torch.ones(200, dtype=torch.int64)],
        [Draw(k, own=False, farthest=False)],
        seeds,
        impl="reference",
    )
    within = (keys @ anchors[0]).topk(part).indices
    drawn = F.one_hot(chosen, 200).sum(1).double()
    assert (drawn.sum(1) == k).all()
    assert (drawn[:, within].sum(1) == k).all()
    drawn = drawn[:, within]
    # Chi-square over keys, with the variance of drawing without replacement; 99.9 % of 19 degrees of freedom.
    p = k / part
    spread = trials * p * (1 - p) * part / (part - 1)
    assert ((drawn.sum(0) - trials * p) ** 2 / spread).sum() < 43.8
    # Pairs of keys are drawn together as often as chance has it: 190 of them, five deviations at most.
    both = (drawn.T @ drawn)[torch.triu(torch.ones(part, part, dtype=torch.bool), 1)]
    q = p * (k - 1) / (part - 1)
    assert (both - trials * q).abs().max() < 5 * (trials * q * (1 - q)) ** 0.5
    # And one trial says nothing of the next: overlaps of neighbouring seeds are those of independent draws.
    overlap = (drawn[1:] * drawn[:-1]).sum(1).mean()
    assert abs(float(overlap) - k * p) < 5 * (k / trials) ** 0.5


def test_priorities_are_distinct_and_their_bits_are_even():
    index = torch.arange(1 << 16)
    for seed in (0, 1, -1, 2**40):
        p = priorities(seed_words(torch.tensor(seed)), index)
        assert len(p.unique()) == len(index)
        assert int(p.min()) >= 0
        assert int(p.max()) < 1 << 32
        ones = ((p[:, None] >> torch.arange(32)) & 1).double().mean(0)
        assert (ones - 0.5).abs().max() < 5 * 0.5 / 256


@pytest.mark.parametrize("impl", ["blockwise", "reference"])
def test_real_numbers_differ_at_the_threshold_at_most(impl, generator):
    """Rounding decides which of two keys is nearer only where they are as near but for rounding."""
    anchors, keys = (F.normalize(torch.randn(n, 64, generator=generator), dim=1) for n in (6, 3000))
    labels, key_labels = torch.zeros(6, dtype=torch.int64), torch.ones(3000, dtype=torch.int64)
    (chosen,) = call((anchors, labels, [keys], [key_labels], None), impl, (Draw(300, False, False),), 0.1)
    exact = anchors.double() @ keys.double().T
    threshold = exact.topk(300).values[:, -1:]
    assert (exact.gather(1, chosen) > threshold - 1e-6).all()
    assert all(len(set(row)) == 300 for row in chosen.tolist())


def test_what_is_drawn_depends_on_the_seed_the_anchor_and_the_keys_alone(generator):
    given = problem(generator, (5, 40), anchors=8)
    anchors, labels, keys, key_labels, eligible = given
    together = call(given, "blockwise")
    for i in range(8):
        one = (anchors[i : i + 1], labels[i : i + 1], keys, key_labels, eligible[i : i + 1])
        for a, b in zip(call(one, "blockwise"), together, strict=True):
            assert torch.equal(a[0], b[i])
    again = call(given, "blockwise", key=(1, 3))
    assert any(not torch.equal(a, b) for a, b in zip(again, together, strict=True))


def test_bad_input_is_named(generator):
    anchors, labels, keys, key_labels, eligible = problem(generator)
    seeds = class_seeds(labels, (0,), 2)
    good = partial(top_fraction, anchors, labels, keys, key_labels, DRAWS, seeds)
    with pytest.raises(InputError, match="did you mean 'blockwise'"):
        good(impl="blockwis")
    with pytest.raises(InputError, match="fraction"):
        good(fraction=0.0)
    with pytest.raises(InputError, match="eligible is bool"):
        good(eligible=eligible.float())
    with pytest.raises(InputError, match="seeds are"):
        top_fraction(anchors, labels, keys, key_labels, DRAWS, seeds[:, :1])
    with pytest.raises(InputError, match="a label for each"):
        top_fraction(anchors, labels[:2], keys, key_labels, DRAWS, seeds)
    with pytest.raises(InputError, match="int64"):
        top_fraction(anchors, labels.int(), keys, key_labels, DRAWS, seeds)
    with pytest.raises(InputError, match="keys"):
        top_fraction(anchors, labels, [k[:, :3] for k in keys], key_labels, DRAWS, seeds)


def test_float64_is_not_for_the_kernels(small_kernels, generator):
    with pytest.raises(InputError, match="float64"):
        call(problem(generator, dtype=torch.float64), "triton", device=kernel_device())


@pytest.mark.parametrize("sampler", [SemiHardPairs(), RandomPairs()], ids=lambda s: type(s).__name__)
def test_on_the_cpu_pairs_are_selected_as_ever_unless_asked(sampler, generator):
    anchors, labels, keys, key_labels, eligible = problem(generator, (5, 0, 40))
    tables = [KeyTable(*table) for table in zip(keys, key_labels, strict=True)]
    chosen = [
        select_pairs(anchors, labels, tables, sampler, 3, 6, (0, 1), eligible=eligible, **how)
        for how in ({}, {"impl": "dense"})
    ]
    assert torch.equal(chosen[0].positives, chosen[1].positives)
    assert torch.equal(chosen[0].negatives, chosen[1].negatives)


def test_pairs_are_selected_from_the_same_part_either_way(generator):
    """All of the part is taken here, so that what is drawn at random does not matter."""
    anchors, keys = (torch.randn(n, 8, generator=generator) for n in (9, 300))
    labels, key_labels = torch.arange(9) % 3, torch.randint(-1, 4, (300,), generator=generator)
    tables, eligible = [KeyTable(anchors, labels), KeyTable(keys, key_labels)], ~torch.eye(9, dtype=torch.bool)
    select = partial(select_pairs, anchors, labels, tables, SemiHardPairs(), 50, 50, (4, 2), eligible=eligible)
    for ours, dense in zip(select(impl="blockwise"), select(impl="dense"), strict=True):
        for a, b in zip(ours.tolist(), dense.tolist(), strict=True):
            assert set(a) - {-1} == set(b) - {-1}


def test_the_op_serves_semi_hard_sampling_alone(generator):
    anchors, labels, keys, key_labels, _ = problem(generator, (40,))
    with pytest.raises(InputError, match="is for SemiHardPairs, not RandomPairs"):
        select_pairs(anchors, labels, [KeyTable(keys[0], key_labels[0])], RandomPairs(), 3, 3, (0,), impl="blockwise")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_large_bank_on_a_gpu(dtype):
    generator = torch.Generator().manual_seed(0)
    keys = [whole_numbers(n, 64, generator=generator, dtype=dtype) for n in (300, 200_003)]
    labels = torch.arange(300) % 19
    key_labels = [labels, (torch.arange(200_003) // 10_000).where(torch.arange(200_003) % 7 > 0, -1)]
    eligible = ~torch.eye(300, dtype=torch.bool)
    draws = (Draw(256, own=True, farthest=True), Draw(512, own=False, farthest=False))
    given = (keys[0], labels, keys, key_labels, eligible)
    for actual, expected in zip(
        call(given, "triton", draws, 0.1, "cuda"), call(given, "reference", draws, 0.1, "cuda"), strict=True
    ):
        assert torch.equal(actual, expected)
