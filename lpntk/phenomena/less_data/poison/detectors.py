"""How suspicious is each sample? One score for each method, larger is more suspicious, each fixed before any result.

All methods ask the same networks, which learned all samples with the labels they were given.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network
from lpntk.learn.moments import Moments
from lpntk.learn.schedules import rate
from lpntk.learn.training import train
from lpntk.phenomena.less_data.farthest import clusters
from lpntk.phenomena.less_data.poison.threats import Poisoned
from lpntk.phenomena.less_data.scores import _asked, _gradients
from lpntk.phenomena.less_data.within import Within, rows_of

AT_ONCE = 4096  # samples up to which one kernel of all is faster than one of each class
NEIGHBOURS, REFERENCES = 10, 1000  # nearest samples that are asked, among so many at most
TRUSTED = 10  # samples of each label that are known to be good, at most
RATIO = 0.1  # clusters per sample
MAIN = "mean-cosine"  # which of the kernel's methods is judged
KERNEL = {
    MAIN: "small mean cosine to its label",
    "mean-kernel": "small mean kernel to its label",
    "negative": "many negative kernels",
    "neighbours": "neighbours by cosine",
    "trusted": "small cosine to trusted samples",
    "tail": "small cluster",
}
INITIAL, AVERAGED = "-initial", "-averaged"  # ends of names: before training; the mean of the scores after each epoch
OTHERS = {
    "selfmax": ("another is more similar", "authors"),
    "contradictory": ("most negative pair", "authors"),
    "loss": ("loss over training", "usual"),
    "el2n": ("EL2N, early", "usual"),
    "el2n-late": ("EL2N, at the end", "usual"),
    "forgetting": ("forgotten", "usual"),
    "grand": ("GraNd", "usual"),
    "tracin": ("TracIn self-influence", "usual"),
    "features": ("neighbours by features", "usual"),
    "pixels": ("neighbours by pixels", "usual"),
    "aum": ("area under the margin", "usual"),  # this and the next two are those of ``peers.py``
    "quality": ("cleanlab, label quality", "usual"),
    "trak": ("TRAK self-influence", "usual"),
    "random": ("random", "chance"),
}
# name -> (words, group)
METHODS: dict[str, tuple[str, str]] = {
    **{name: (told, "kernel") for name, told in KERNEL.items()},
    **{name + INITIAL: (f"{told}, before training", "kernel") for name, told in KERNEL.items()},
    **{name + AVERAGED: (f"{told}, averaged", "kernel") for name, told in KERNEL.items()},
    **OTHERS,
}
SHOWN = [*KERNEL, MAIN + INITIAL, MAIN + AVERAGED, *OTHERS]  # chance comes last


def suspicion(
    network: Network, data: Poisoned, *, seeds: Sequence[int], epochs: int, early: int, draw: torch.Generator,
    device: str = "auto", **training: object,
) -> dict[str, Tensor]:  # fmt: skip
    """Train networks on all samples and return (n,) scores by their names in ``METHODS``.

    Args:
        network: to build from each seed.
        data: the samples; which are bad tells nothing but which may be trusted.
        seeds: networks; every score is a sum or mean over them.
        epochs: of their training.
        early: epochs after which EL2N and GraNd are taken.
        draw: of references, of trusted samples and of ``random``.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Raises:
        ValueError: if there are too few samples, or too few good ones of a label, or ``early`` is no epoch.
        FloatingPointError: if a network diverged.
    """
    x, y, n = data.x, data.y, len(data.y)
    order = torch.randperm(n, generator=draw)
    asked, good = order[:REFERENCES], order[~data.bad[order]]
    trusted = [good[y[good] == label][:TRUSTED] for label in y.unique()]
    if n <= NEIGHBOURS or min(map(len, trusted)) < 2:
        raise ValueError(f"{n} samples are too few: more than {NEIGHBOURS}, and two good ones of each label, are asked")
    known = torch.cat(trusted)
    if not 1 <= early <= epochs:
        raise ValueError(f"early must lie in 1..{epochs}, the epochs of the training; got {early}")
    models, moments = [network(seed) for seed in seeds], sorted({early, epochs // 2, epochs} - {0})
    everything = torch.arange(n).expand(len(models), -1).contiguous()
    history = train(models, x, y, everything, seeds=seeds, epochs=epochs, checkpoints=range(epochs + 1),
                    device=device, progress="networks that score", **training)  # fmt: skip
    if history.diverged.any():
        raise FloatingPointError("a network that scores diverged: lower lr")
    runs = [Moments(network, seed, {epoch: states[i] for epoch, states in history.checkpoints.items()}, {}, {}, False,
                    device) for i, seed in enumerate(seeds)]  # fmt: skip
    ask = lambda epoch: kernels(runs, epoch, x, y, torch.cat([asked, known]))
    told = [of_kernel(*ask(epoch), y, asked, known) for epoch in range(epochs)]
    kernel, across = ask(epochs)
    told.append(of_kernel(kernel, across, y, asked, known))

    seen = {epoch: [_asked(run.model(epoch), x, y, device) for run in runs] for epoch in moments}
    errors = {epoch: [error for _, error in each] for epoch, each in seen.items()}
    norms = {epoch: [_gradients(run.model(epoch), x, error, device) for run, error in zip(runs, each, strict=True)]
             for epoch, each in errors.items()}  # fmt: skip
    steps = {epoch: rate(training.get("schedule", "constant"), training["lr"], epoch - 1, epochs) for epoch in norms}
    right, features = history.correct, torch.cat([features for features, _ in seen[epochs]], dim=1)
    among = lambda similarity: of_another_label(similarity, y, asked)
    total = lambda values: torch.stack(list(values)).sum(dim=0)
    return {
        **told[-1],
        **{name + INITIAL: told[0][name] for name in KERNEL},
        **{name + AVERAGED: torch.stack([each[name] for each in told[1:]]).mean(dim=0) for name in KERNEL},
        "selfmax": each_class(kernel, excess),
        "contradictory": -each_class(kernel, lambda block: block.amin(dim=1)),
        "loss": history.loss.sum(dim=(0, 1)),
        "el2n": total(torch.linalg.vector_norm(error, dim=1) for error in errors[early]),
        "el2n-late": total(torch.linalg.vector_norm(error, dim=1) for error in errors[epochs]),
        "forgetting": ((right[:, :-1] & ~right[:, 1:]).sum(dim=1) + epochs * ~right.any(dim=1)).sum(dim=0).float(),
        "grand": total(norms[early]),
        "tracin": total(steps[epoch] * norm.square() for epoch, each in norms.items() for norm in each),
        "features": among(-torch.cdist(features, features[asked])),
        "pixels": among(-torch.cdist(x.flatten(1), x[asked].flatten(1))),
        "random": torch.rand(n, generator=draw),
    }  # fmt: skip


def kernels(runs: Sequence[Moments], epoch: int, x: Tensor, y: Tensor, columns: Tensor) -> tuple[Within, Tensor]:
    """Return the kernel of some networks together within classes, and its cosines (n, c) with some of the samples."""
    rows, own = rows_of(y), torch.empty(len(y))
    if len(y) <= AT_ONCE:
        whole = sum(run.kernel(epoch, x, y) for run in runs)
        blocks, across = [whole[part][:, part] for part in rows], whole[:, columns]
    else:
        blocks = [sum(run.kernel(epoch, x[part], y[part]) for run in runs) for part in rows]
        across = sum(kernel_matrix(run.model(epoch), x, y, x[columns], y[columns], device=run.device) for run in runs)
    for part, block in zip(rows, blocks, strict=True):
        own[part] = block.diagonal()
    return Within(rows, blocks.__getitem__), across * own.rsqrt()[:, None] * own[columns].rsqrt()


def of_kernel(kernel: Within, across: Tensor, y: Tensor, references: Tensor, trusted: Tensor) -> dict[str, Tensor]:
    """Return the scores (n,) of ``KERNEL``, of a kernel and its cosines (n, r + t) with references and trusted ones."""
    groups = clusters(kernel, y, RATIO)
    return {
        MAIN: -each_class(kernel, mean_cosine),
        "mean-kernel": -each_class(kernel, to_others),
        "negative": each_class(kernel, lambda block: (block < 0).float().mean(dim=1)),
        "neighbours": of_another_label(across[:, : len(references)], y, references),
        "trusted": -to_trusted(across[:, len(references) :], y, trusted),
        "tail": -groups.sizes[groups.of].float(),
    }


def each_class(kernel: Within, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Return (n,) scores, of each class what ``score`` makes of its block: (m, m) -> (m,)."""
    found = torch.empty(sum(map(len, kernel.rows)))
    for c, rows in enumerate(kernel.rows):
        found[rows] = score(kernel.block(c))
    return found


def to_others(block: Tensor) -> Tensor:
    """Return (m,) means of a block over all others of the class; 0 for one that is alone."""
    return (block.sum(dim=1) - block.diagonal()) / max(1, len(block) - 1)


def excess(block: Tensor) -> Tensor:
    """Return (m,) by how much another of the class is more similar to a sample than it is to itself."""
    return block.clone().fill_diagonal_(-torch.inf).amax(dim=1) - block.diagonal()


def mean_cosine(block: Tensor) -> Tensor:
    """Return (m,) mean cosines to all others of the class."""
    scale = block.diagonal().rsqrt()
    return to_others(block * scale * scale[:, None])


def of_another_label(similarity: Tensor, y: Tensor, references: Tensor, count: int = NEIGHBOURS) -> Tensor:
    """Return (n,) shares of the most similar references (r,), out of (n, r), that have another label than y (n,) says.

    None is its own neighbour.
    """
    similarity = similarity.clone()
    similarity[references, torch.arange(len(references))] = -torch.inf
    near = similarity.topk(count, dim=1).indices
    return (y[references][near] != y[:, None]).float().mean(dim=1)


def to_trusted(similarity: Tensor, y: Tensor, trusted: Tensor) -> Tensor:
    """Return (n,) mean similarities to the trusted samples (t,) of the same label, itself left out; given (n, t)."""
    same = y[:, None] == y[trusted]
    same[trusted, torch.arange(len(trusted))] = False
    return (similarity * same).sum(dim=1) / same.sum(dim=1)
