"""Does the report find planted flips as well as others do? Its first suspects beside plain loss and beside cleanlab.

Fixed before any result: all methods see one planted set, one architecture and one recipe of training. The report and
the loss ask a network that learned all samples; cleanlab is used as its documentation recommends, with probabilities
out of sample by stratified cross-validation. What is compared is the share of planted samples among the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.machine.progress import progress_bar
from lpntk.phenomena.less_data.held_out import FOLDS, label_issues, label_quality, out_of_sample
from lpntk.phenomena.less_data.poison.threats import poison
from lpntk.reader.own.inputs.given import Given
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.network import Learner, learner
from lpntk.reader.own.ranking import joint_rank
from lpntk.reader.own.study import asked, losses

FIRST = 100  # suspects that are looked at, or as many as were planted where these are fewer
METHODS = {  # name -> words
    "suspicion": "the report's ranking",
    "mean-cosine": "mean_cosine alone",
    "difficulty": "difficulty alone",
    "loss": "loss of the trained network",
    "issues": "cleanlab, find_label_issues",
    "quality": "cleanlab, label quality",
}


@dataclass(frozen=True)
class Case:
    """A set into which flips are planted.

    Attributes:
        given: clean samples.
        n: how many of its training samples are drawn in every repeat; all where there are fewer.
        threat: ``uniform`` or ``pairwise``, as in ``poison``.
        rate: share of flipped labels.
        model: name of the network; by default as the report chooses.
        options: of that network.
        epochs: of training; by default as the report chooses.
    """

    given: Given
    n: int
    threat: str
    rate: float
    model: str | None = None
    options: Mapping[str, object] | None = None
    epochs: int | None = None


def breast_cancer(seed: int) -> Given:
    """Return scikit-learn's table of 569 tumours with 30 features, read as anybody's CSV is, with a test part drawn."""
    from sklearn.datasets import load_breast_cancer  # slow to import

    with TemporaryDirectory() as folder:
        load_breast_cancer(as_frame=True).frame.to_csv(f"{folder}/breast-cancer.csv", index=False)
        return read_own(f"{folder}/breast-cancer.csv", seed=seed)


def some(given: Given, n: int, seed: int) -> Given:
    """Return at most n of the training samples, drawn without replacement."""
    rows = given.data.sample(min(n, len(given.data.y_train)), seed)
    data = replace(given.data, x_train=given.data.x_train[rows], y_train=given.data.y_train[rows],
                   digest=digest([given.data.digest, digest(rows)]))  # fmt: skip
    return replace(given, data=data, index=given.index[rows.numpy()], names=[given.names[i] for i in rows.tolist()])


def planted(given: Given, threat: str, rate: float, seed: int) -> tuple[Given, np.ndarray]:
    """Return the samples with some labels flipped, and (n,) bool, which; errors as of ``poison``."""
    bad = poison(threat, given.data, torch.arange(len(given.data.y_train)), rate, seed=seed)
    data = replace(given.data, y_train=bad.y, digest=digest([given.data.digest, digest(bad.y)]))
    return replace(given, data=data), bad.bad.numpy()


def compare(
    cases: Mapping[str, Case], repeats: int, *, seed: int, budget: int, device: str, cache: Cache
) -> pd.DataFrame:
    """Plant, train, rank by every method, and count.

    Returns:
        A row for each case, repeat and method: ``found``, the share of planted samples among the ``first``; ``ap``,
        the average precision of the whole order; ``planted`` and ``n``, numbers of samples; ``accuracy`` on the test
        part and whether the network ``learned`` enough for a report to rank; ``listed``, samples that cleanlab
        lists as issues, and ``right``, the share of them that were planted (1 where none is listed).

    Raises:
        ModuleNotFoundError: if cleanlab is not installed.
    """
    from sklearn.metrics import average_precision_score

    told = []
    with progress_bar(len(cases) * repeats, shown=True, desc="planted sets", leave=False) as bar:
        for name, case in cases.items():
            for repeat in range(repeats):
                drawn, flips, of_network, of_folds = np.random.SeedSequence([seed, repeat]).generate_state(4).tolist()
                given, bad = planted(some(case.given, case.n, drawn), case.threat, case.rate, flips)
                by = learner(given.data, model=case.model, options=dict(case.options or {}), built_by=None,
                             checkpoint=None, seed=of_network)  # fmt: skip
                told_by = {"device": device, "cache": cache}
                found = asked(given, by, epochs=case.epochs, budget=budget, seed=of_network, **told_by)
                chances = held_out(given, by, found.training, of_folds, **told_by)
                orders, listed = ranked(given, found, chances, device)
                first = min(FIRST, int(bad.sum()))
                same = {"case": name, "repeat": repeat, "n": len(bad), "planted": int(bad.sum()), "first": first,
                        "accuracy": found.accuracy, "learned": found.learned, "listed": len(listed),
                        "right": float(bad[listed].mean()) if len(listed) else 1.0}  # fmt: skip
                for method, order in orders.items():
                    place = np.empty(len(order))
                    place[order] = np.arange(len(order))
                    told.append({**same, "method": method, "found": float(bad[order[:first]].mean()),
                                 "ap": float(average_precision_score(bad, -place))})  # fmt: skip
                bar.update()
    return pd.DataFrame(told)


def ranked(given: Given, found: object, chances: Tensor, device: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the samples (n,) by each of ``METHODS``, the most suspicious first, and those that cleanlab lists."""
    frame, y = found.samples, given.data.y_train
    cosine, difficulty = frame["mean_cosine"].to_numpy(), frame["difficulty"].to_numpy()
    usual = pd.Series(cosine).groupby(y.numpy()).transform("median").to_numpy()
    loss = losses(found.network, given.data.x_train, y, device).numpy()
    listed = label_issues(y.numpy(), chances.numpy())
    rest = np.argsort(label_quality(y.numpy(), chances.numpy()), kind="stable")
    first = lambda score: np.argsort(-score, kind="stable")
    return {
        "suspicion": first(joint_rank(cosine, difficulty, y.numpy())),
        "mean-cosine": first(np.nan_to_num(usual - cosine)),
        "difficulty": first(difficulty),
        "loss": first(loss),
        "issues": np.concatenate([listed, rest[~np.isin(rest, listed)]]),  # what it lists, then the others
        "quality": rest,
    }, listed


def held_out(
    given: Given, by: Learner, training: Mapping[str, object], seed: int, *, device: str, cache: Cache
) -> Tensor:
    """Return (n, k) probabilities of classes, each sample's by a network that has not learned it."""
    data = given.data

    def make() -> dict[str, Tensor]:
        return {"chances": out_of_sample(by.make, data.x_train, data.y_train, data.k, seed=seed, device=device,
                                         epochs=training["epochs"], lr=training["rate"],
                                         batch_size=training["batch"], schedule="cosine")}  # fmt: skip

    key = computed_key(held_out, device=device, network=by.decides, data=data.digest, labels=digest(data.y_train),
                       seed=seed, training=dict(training), folds=FOLDS)  # fmt: skip
    return cache.artefact("own-held-out", key, make)["chances"]
