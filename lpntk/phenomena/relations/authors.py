"""What did the authors count, and what do we, with which network? Their public numbers beside ours."""

from collections.abc import Mapping

import pandas as pd

from lpntk.report.spread import words

# their public notebook: LeNet on MNIST, all pairs of the training set; settings of their code, a network of which
# neither seed nor accuracy is known to us
AUTHORS = {"positive": 0.9974, "negative": 0.00257, "self_similarity": 0.883, "n": 60_000}
SETTINGS = {"parameters": "1.2 million", "lr": "0.1, also 0.001", "momentum": "0.9", "schedule": "step", "epochs": "30",
            "training samples": "60,000", "kernel taken at": "the best validation accuracy",
            "test accuracy": "-"}  # fmt: skip
COUNTED = {
    "positive": ("pairs with a positive kernel", "{:.2%}"),
    "negative": ("pairs with a negative kernel", "{:.3%}"),
    "self_similarity": ("most similar to themselves, over the others", "{:.3f}"),
}


def beside_authors(
    pairs: pd.DataFrame,
    selves: pd.DataFrame,
    accuracy: pd.DataFrame,
    training: Mapping[str, object],
    name: str,
    everything: Mapping[str, float] | None,
) -> pd.DataFrame:
    """Return the authors' numbers and settings beside ours, at the end of training and with all samples of the kernel.

    Args:
        pairs: of ``readings.over_training``.
        selves: of ``readings.of_themselves``.
        accuracy: of ``study.accuracies``.
        training: settings of ours by the names of ``SETTINGS``.
        name: what network, data and number of samples ours are of.
        everything: the same of one network over all of MNIST, as ``sweep`` reads it; None if there is none.
    """
    last = lambda frame, by: frame[frame[by] == frame[by].max()]
    found = last(pairs[pairs.labels == "all"], "epoch").merge(last(selves, "n"), on="seed")
    found = found.merge(last(accuracy, "epoch"), on="seed")
    found = found.assign(whose="ours").rename(columns={"ratio": "self_similarity", "test": "test accuracy"})
    forms = {key: form for key, (_, form) in COUNTED.items()}
    ours = words(found, ["whose"], [*COUNTED, "test accuracy"], forms).loc["ours"].to_dict()
    ours |= {**training, "epochs": accuracy.epoch.max(), "kernel taken at": "the last epoch"}
    counted = lambda numbers: {key: form.format(numbers[key]) for key, form in forms.items()}
    table = {"authors: LeNet, MNIST, n = 60000": counted(AUTHORS) | SETTINGS, f"ours: {name}": ours}
    if everything:
        one = everything | {"self_similarity": everything["own_nearest"]}
        table["ours: LeNet, MNIST, n = 60000, one network"] = counted(one)
    frame = pd.DataFrame(table, index=[*COUNTED, *SETTINGS]).fillna("-").astype(str)
    return frame.rename(index={key: label for key, (label, _) in COUNTED.items()})
