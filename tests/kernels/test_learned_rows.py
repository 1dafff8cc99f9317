"""What is done row by row, and its gradients, on every core that this machine runs, against plain float32 twins."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dsocr.kernels.learned_rows import gate_rows, learns_rows, norm_rows, turn_rows
from dsocr.kernels.library import core
from dsocr.model.decoder import rotate

pytestmark = pytest.mark.skipif(core() is None, reason="the core is not compiled here")


@pytest.fixture(autouse=True)
def _every_core(library):
    pass


@pytest.fixture(params=[1, 2])
def _threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def random(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def agree(seen, wanted, given, exact, back):
    """That the results and all gradients are alike; bfloat16 has some three digits."""
    seen.backward(back.to(seen.dtype))
    wanted.backward(back.float())
    pairs = [(seen, wanted), *((one.grad, other.grad) for one, other in zip(given, exact, strict=True))]
    for one, other in pairs:
        assert (one.float() - other).norm() < 0.01 * other.norm()


def twice(*tensors):
    return [each.clone().requires_grad_() for each in tensors], [each.float().requires_grad_() for each in tensors]


@pytest.mark.usefixtures("_threads")
def test_norms(library):
    given, exact = twice(random(1, 7, 40) * 3, 1 + 0.1 * random(2, 40))
    x, weight = exact
    plain = x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight
    seen = norm_rows(*given, 1e-6)
    assert seen.dtype == torch.bfloat16
    agree(seen, plain, given, exact, random(3, 7, 40).bfloat16())


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("rotated", [True, False])
def test_rows_become_heads(rotated):
    pages, places, heads, dim = 2, 5, 3, 32
    given, exact = twice(random(1, pages * places, heads * dim).bfloat16())
    angles = random(2, pages * places, dim // 2).repeat(1, 2)
    rope = angles.cos(), angles.sin()
    split = exact[0].reshape(pages, places, heads, dim).transpose(1, 2)
    by_page = tuple(each.reshape(pages, 1, places, dim) for each in rope)
    seen = turn_rows(given[0], rope if rotated else None, pages, dim)
    assert seen.shape == (pages, heads, places, dim)
    agree(seen, rotate(split, by_page) if rotated else split, given, exact, random(3, *seen.shape).bfloat16())


@pytest.mark.usefixtures("_threads")
def test_gates():
    given, exact = twice(random(1, 9, 48).bfloat16() * 3, random(2, 9, 48).bfloat16())
    agree(gate_rows(*given), F.silu(exact[0]) * exact[1], given, exact, random(3, 9, 48).bfloat16())


@pytest.mark.usefixtures("_threads")
def test_gates_of_experts_of_whom_some_are_not_asked():
    shares = random(4, 9, 3).softmax(-1)
    asked = shares > shares.amin(-1, keepdim=True)
    given, exact = twice(random(1, 9, 48).bfloat16(), random(2, 9, 48).bfloat16(), shares * asked)
    gate, up, share = exact
    plain = (F.silu(gate) * up).reshape(9, 3, 16) * share[..., None] * asked[..., None]
    agree(gate_rows(*given), plain.flatten(1), given, exact, random(3, 9, 48).bfloat16())


def test_they_are_taken_in_training_alone():
    x = torch.zeros(2, 32)
    assert not learns_rows(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert learns_rows(x)
