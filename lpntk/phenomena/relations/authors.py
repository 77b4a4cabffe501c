"""What did the authors count, and what do we, with which network? Their public numbers beside ours."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lpntk.learn.models import count_parameters
from lpntk.phenomena.relations.study import Study, Trial, accuracies, finished

AUTHORS = {"positive": 0.9974, "negative": 0.00257, "self_similarity": 0.883, "n": 60_000}
"""The authors' public notebook: LeNet (1.2 M parameters) on MNIST, all pairs of the training set."""

SETTINGS = {
    "parameters": "1.2 million",
    "lr": "0.1, also 0.001",
    "momentum": "0.9",
    "schedule": "step",
    "epochs": "30",
    "training samples": "60,000",
    "kernel taken at": "the best validation accuracy",
    "test accuracy": "-",
}
"""Of the authors' code for MNIST. The accuracy of the very network that their numbers are of is not known to us."""


def ours(study: Study, trials: Sequence[Trial], selves: pd.DataFrame) -> dict[str, object]:
    """Return what a reader must know to weigh our numbers against the authors': the network, its training and scores.

    Args:
        study: how the networks were trained.
        trials: the networks on the whole task.
        selves: their ``self_similarity_table``; the largest n counts.
    """
    scores = accuracies(trials)
    last = scores[scores.epoch == scores.epoch.max()]
    ratios = selves[selves.n == selves.n.max()].ratio
    first = finished(trials)[0]
    return {
        **study.training,
        "epochs": int(scores.epoch.max()),
        "parameters": count_parameters(first.run.model(first.run.epochs[0])),
        "n_train": len(first.data.y_train),
        "test": float(last.test.mean()),
        "test_sd": float(last.test.std()),
        "self_similarity": float(ratios.mean()),
        "self_similarity_sd": float(ratios.std()),
    }


def beside_authors(
    relations: pd.DataFrame,
    found: Mapping[str, object],
    name: str,
    everything: Mapping[str, float] | None,
) -> pd.DataFrame:
    """Return the authors' public numbers beside ours, at the end of training and with all samples of the kernel.

    Args:
        relations: as ``relations_table`` gives it.
        found: as ``ours`` gives it.
        name: what network, data and number of samples ours are of.
        everything: the same of one network over all of MNIST, as ``sweep`` reads it; None if there is none.
    """
    last = relations[(relations.epoch == relations.epoch.max()) & (relations.labels == "all")]
    own = (found["self_similarity"], found["self_similarity_sd"])
    rows = {
        "pairs with a positive kernel": ("positive", "{:.2%}", (last.positive.mean(), last.positive.std())),
        "pairs with a negative kernel": ("negative", "{:.3%}", (last.negative.mean(), last.negative.std())),
        "most similar to themselves, over the others": ("self_similarity", "{:.3f}", own),
    }
    spread = lambda form, values: " ± ".join(map(form.format, values))
    settings = {
        "parameters": f"{found['parameters']:,}",
        **{key: str(found.get(key, "-")) for key in ("lr", "momentum", "schedule", "epochs")},
        "training samples": f"{found['n_train']:,}",
        "kernel taken at": "the last epoch",
        "test accuracy": spread("{:.1%}", (found["test"], found["test_sd"])),
    }
    table = {
        "authors: LeNet, MNIST, n = 60000": [*(form.format(AUTHORS[key]) for key, form, _ in rows.values()),
                                             *SETTINGS.values()],
        f"ours: {name}": [*(spread(form, values) for _, form, values in rows.values()), *settings.values()],
    }  # fmt: skip
    if everything:
        keys = ("positive", "negative", "own_nearest")
        told = [form.format(everything[key]) for key, (_, form, _) in zip(keys, rows.values(), strict=True)]
        table["ours: LeNet, MNIST, n = 60000, one network"] = [*told, *["-"] * len(settings)]
    return pd.DataFrame(table, index=[*rows, *settings])
