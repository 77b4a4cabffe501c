import pytest
import torch

from lpntk.kernel import reading as relations

# three unit gradients: alike, at a right angle to both others, opposed
PHI = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.0, 1.0], [-2.0, 0.0]])
KAPPA, Y = PHI @ PHI.T, torch.tensor([0, 0, 1, 1])


def test_the_three_relations_of_hand_made_gradients():
    cosines = relations.cosine(KAPPA)
    assert cosines[0].tolist() == pytest.approx([1, 0.96, 0, -1])
    assert relations.shares(cosines[0, 1:2])["interchangeable"] == 1
    assert relations.shares(cosines[0, 2:3])["unrelated"] == 1
    assert relations.shares(cosines[0, 3:4])["contradictory"] == 1
    assert sum(relations.shares(cosines).values()) == pytest.approx(1)


def test_pairs_are_split_by_label_and_counted_once():
    pairs = relations.pairs(KAPPA, Y)
    assert sorted(pairs.same.tolist()) == pytest.approx([0, 0.96])
    assert len(pairs.different) == 4


def test_neighbours_leave_the_sample_itself_out():
    cosines = relations.cosine(KAPPA)
    assert relations.neighbours(cosines, 0, 2).tolist() == [1, 2]
    assert relations.neighbours(cosines, 0, 1, most=False).tolist() == [3]
    assert relations.own_nearest(KAPPA) == 1.0
    long = torch.tensor([[1.0, 0.0], [2.0, 0.0]])  # the short one is most like the long one
    assert relations.own_nearest(long @ long.T) == 0.5


def test_separation_is_the_area_under_the_roc_curve():
    assert relations.separation(relations.Pairs(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.1]))) == 0.75
    assert relations.separation(relations.Pairs(torch.tensor([1.0]), torch.tensor([1.0]))) == 0.5


def test_shares_of_nearest_labels():
    cosines = relations.cosine(KAPPA)  # nearest: 1, 0, 1, 2; farthest: 3, 3, 0 or 3, 0
    assert relations.same_label_share(cosines, Y) == 0.75
    assert relations.one_of_each(torch.tensor([3, 1, 3, 7]), 2) == [1, 0]


def test_a_sample_without_gradient_has_cosine_zero():
    cosines = relations.cosine(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    assert cosines.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_sorted_by_class_and_by_affinity_inside():
    order = relations.by_class(Y, KAPPA)
    assert Y[order].tolist() == [0, 0, 1, 1]
    assert sorted(order.tolist()) == [0, 1, 2, 3]


def test_a_pair_has_one_relation():
    names = [relations.relation(c) for c in (1.0, 0.5, 0.49, 0.1, 0.09, 0.0, -0.09, -0.1, -1.0)]
    assert names == ["interchangeable"] * 2 + ["weak"] * 2 + ["unrelated"] * 3 + ["contradictory"] * 2


def test_a_trio_of_hand_made_gradients():
    cosines = relations.cosine(KAPPA)
    assert relations.trio(cosines, 0) == {"alike": 1, "at a right angle": 2, "opposed": 3}
    assert relations.trio(cosines, 3)["opposed"] == 0
    assert relations.most_opposed(cosines, 2) == [0, 3]


def test_self_similarity_is_the_authors_ratio():
    phi = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])  # the first is most similar to the second
    assert relations.self_similarity(phi @ phi.T) == pytest.approx(2)
    assert relations.self_similarity(torch.eye(3)) == float("inf")
