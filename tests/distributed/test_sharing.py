"""What processes share of a batch adds up to what one process would have made of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from timm.layers import BatchNormAct2d
from together import Team, team_of
from torch import Tensor, nn

from iqa.distributed.group import after_first, of_all, of_first, rank, same, world_size
from iqa.distributed.sharing import add_gradients, align, gathered, own_part
from iqa.distributed.statistics import joint_statistics

PROCESSES = 3


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with team_of(PROCESSES) as team:
        yield team


def batch(pictures: int) -> Tensor:
    return torch.randn(pictures, 4, 5, 5, generator=torch.Generator().manual_seed(pictures), dtype=torch.float32)


def network(kind: str) -> nn.Module:
    """Of a convolution and batch normalisations of one kind, the same each time."""
    torch.manual_seed(0)
    normalise = {"torch": nn.BatchNorm2d, "timm": BatchNormAct2d, "plain": partial(nn.BatchNorm2d, affine=False)}[kind]
    return nn.Sequential(nn.Conv2d(4, 6, 3), normalise(6), nn.Tanh(), nn.Conv2d(6, 6, 3), normalise(6))


def pieces(pictures: int, kind: torch.dtype) -> tuple[int, Tensor]:
    rows = torch.arange(2 * pictures).view(pictures, 2).to(kind)
    own = own_part(rows)
    return len(own), gathered(own, pictures)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("pictures", [1, 2, 3, 8])
def test_what_was_divided_is_put_together_again(team: Team, pictures: int, kind: torch.dtype) -> None:
    for count, whole in team.do(pieces, pictures, kind):
        assert 1 <= count <= -(-pictures // PROCESSES)
        assert torch.equal(whole, torch.arange(2 * pictures).view(pictures, 2).to(kind))


def learned(kind: str, pictures: int) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Loss, gradients and state after a step back on a batch: this process's pictures through the network."""
    net = network(kind)
    inputs = own_part(batch(pictures))
    with joint_statistics():
        features = net(inputs)
    features = gathered(features.mean((2, 3)), pictures)
    loss = (features.square().mean(0) * torch.arange(6)).sum() + features.std()  # of the batch as a whole
    loss.backward()
    add_gradients(net.parameters(), [])
    return loss.detach(), [each.grad for each in net.parameters()], net.state_dict()


@pytest.mark.parametrize("kind", ["torch", "timm", "plain"])
@pytest.mark.parametrize("pictures", [3, 8])
def test_a_step_of_several_processes_is_the_step_of_one(team: Team, kind: str, pictures: int) -> None:
    loss, gradients, state = learned(kind, pictures)
    for theirs in team.do(learned, kind, pictures):
        torch.testing.assert_close(theirs[0], loss)
        torch.testing.assert_close(theirs[1], gradients, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(theirs[2], state, rtol=1e-4, atol=1e-6)


def alike() -> tuple[Tensor, Tensor, Tensor]:
    own = [torch.full((2, 3), float(rank())), torch.tensor(rank() == 0), torch.tensor(rank() + 7)]
    align(own)
    return own[0], own[1], own[2]


def test_all_take_the_values_of_the_first(team: Team) -> None:
    for numbers, truth, count in team.do(alike):
        assert torch.equal(numbers, torch.zeros(2, 3))
        assert bool(truth)
        assert int(count) == 7


def roles() -> tuple[object, ...]:
    alone = of_first(lambda: (rank(), world_size()))

    def prepare() -> str:
        return f"{rank()}"

    return rank(), alone, same(rank() + 5), of_all(rank()), after_first(prepare)


def test_the_first_works_by_itself_and_before_the_others(team: Team) -> None:
    for number, (own, alone, first, all_of_them, prepared) in enumerate(team.do(roles)):
        assert own == number
        assert alone == (0, 1)
        assert first == 5
        assert all_of_them == [0, 1, 2]
        assert prepared == f"{number}"


def test_one_process_shares_with_nobody() -> None:
    rows = torch.arange(4)
    assert own_part(rows) is rows
    assert gathered(rows, 4) is rows
    assert (same(3), of_all(3), of_first(lambda: 3), after_first(lambda: 3)) == (3, [3], 3, 3)
