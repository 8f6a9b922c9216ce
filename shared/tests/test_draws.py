import torch

from contrastbench.core.draws import generator, image_draws


def test_an_image_draws_the_same_whoever_holds_it():
    joint = image_draws((4, 5), 3, 7, torch.tensor([8, 2, 5]))
    split = [image_draws((4, 5), 3, 7, torch.tensor(part)) for part in ([8], [2, 5])]
    assert torch.equal(joint, torch.cat(split))


def test_seed_step_and_image_each_change_the_draws():
    base = image_draws((6,), 0, 0, torch.tensor([0]))
    for seed, step, image in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not torch.equal(base, image_draws((6,), seed, step, torch.tensor([image])))


def test_neighbouring_keys_are_unrelated():
    first = torch.stack([torch.rand(1, generator=generator(0, step)) for step in range(2000)]).squeeze()
    assert abs(float(first.mean()) - 0.5) < 5 / (12 * 2000) ** 0.5
    assert abs(float(torch.corrcoef(torch.stack([first[:-1], first[1:]]))[0, 1])) < 0.12


def test_no_images_draw_nothing():
    assert image_draws((2, 3), 0, 0, torch.empty(0, dtype=torch.int64)).shape == (0, 2, 3)
