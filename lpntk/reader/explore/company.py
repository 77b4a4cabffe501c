"""Who are a sample's companions? The most interchangeable, the least related and the most contradictory ones."""

from functools import cache

from torch import Tensor

from lpntk.kernel.reading import INTERCHANGEABLE, UNRELATED, cosine, most_opposed, relation
from lpntk.phenomena.forgetting.events import NEVER, follow
from lpntk.phenomena.less_data.farthest import clusters
from lpntk.reader.explore.images import sprite
from lpntk.reader.explore.watched import Watched
from lpntk.reader.explore.widget import Explorer, within

GROUPS = {"alike": "Most interchangeable", "apart": "Least related", "against": "Most contradictory, or nearest to it"}
MATES = 6  # of a cluster that are shown beside its head


def companions(cosines: Tensor, i: int, count: int) -> dict[str, list[int]]:
    """Return which other samples are nearest to one, nearest to a right angle with it, and farthest; equals in order.

    Args:
        cosines: (n, n) of the angles between updates.
        i: the sample.
        count: of each kind, or all others if they are fewer.
    """
    row = cosines[i].double()
    found = {}
    for name, far in zip(GROUPS, (-row, row.abs(), row), strict=True):
        order = far.argsort(stable=True)
        found[name] = order[order != i][:count].tolist()
    return found


def sample_and_company(watched: Watched, *, ratio: float = 0.1, count: int = 5) -> Explorer:
    """Return the explorer of a sample and its company, at the end of training."""
    epoch, y, m = watched.run.epochs[-1], watched.y, len(watched.rows)
    kappa = watched.kernel(epoch)
    cosines = cosine(kappa)
    found, history = clusters(kappa, y, ratio), follow(watched.correct)
    names = [watched.data.classes[int(label)] for label in y]

    @cache
    def usual(label: int) -> list[float]:
        return _rounded(watched.loss[:, y == label].median(dim=1).values)

    def answer(choice: dict[str, object]) -> dict[str, object]:
        """Return everything that is shown of the chosen ``sample``."""
        i = within(choice, "sample", range(m))
        groups = {
            name: [[j, _short(kappa[i, j]), _degrees(cosines[i, j]), relation(float(cosines[i, j]))] for j in near]
            for name, near in companions(cosines, i, count).items()
        }
        head = int(found.heads[found.of[i]])
        mates = [j for j in (found.of == found.of[i]).nonzero()[:, 0].tolist() if j not in (i, head)]
        lost, learned = int(history.counts[i]), int(history.first_learned[i])
        state = {"sample": i, "groups": groups, "curve": _rounded(watched.loss[:, i]), "usual": usual(int(y[i])),
                 "head": head, "mates": mates[:MATES], "size": int(found.sizes[found.of[i]]), "forgotten": lost,
                 "learned": None if learned == NEVER else learned + 1}  # fmt: skip
        return state | {"said": _company_said(state, names)}

    given = {
        "sprite": sprite(watched.data, watched.x), "labels": names, "classes": list(watched.data.classes),
        "groups": GROUPS, "epochs": len(watched.loss),
        "about": f"The angles are those after {epoch} epochs, among {m} of the {watched.n} samples that one network "
                 f"learned. By our thresholds two samples are interchangeable up to 60°, where the cosine is "
                 f"{INTERCHANGEABLE:g}, and contradictory where it is −{UNRELATED:g} or less.",
    }  # fmt: skip
    first = {"sample": most_opposed(cosines, 1)[0]}
    return Explorer("company", given, answer, [{"sample": i} for i in range(m)], first)


def _company_said(state: dict[str, object], names: list[str]) -> str:
    """Return the sentences that tell of a sample."""
    i, groups = state["sample"], state["groups"]
    told = {
        name: f"sample {near[0][0]} (label {names[near[0][0]]}, {near[0][2]:.0f}°)" for name, near in groups.items()
    }
    count, learned = state["forgotten"], state["learned"]
    lost = "never learned" if learned is None else f"right for the first time in epoch {learned}, "
    if learned is not None:
        lost += "never forgotten" if not count else f"forgotten {count} time{'s' * (count > 1)}"
    mates = f"one of {state['size']}" if state["size"] > 1 else "alone"
    against = groups["against"][0]
    no = "" if against[3] == "contradictory" else ", which is not contradictory by our threshold"
    return (
        f"Sample {i}, label {names[i]}: {lost}; {mates} in its cluster. Most alike: {told['alike']}. "
        f"Most opposed: {told['against']}{no}."
    )


def _degrees(cosine_of: Tensor) -> float:
    return round(float(cosine_of.double().clamp(-1, 1).arccos().rad2deg()), 1)


def _short(value: Tensor) -> float:
    return float(f"{float(value):.3g}")


def _rounded(values: Tensor) -> list[float]:
    return [_short(value) for value in values]
