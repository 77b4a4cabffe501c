"""How do targets fare in every kind of company? One frame, a row for each target in each run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network, train_many
from lpntk.phenomena.company.groups import CHOICES, GROUPS, company


def study(
    network: Network, x: Tensor, y: Tensor, kappa: Tensor, *, count: int, runs: int, seed: int, cache: Cache,
    choices: Sequence[str] = tuple(CHOICES), groups: Sequence[str] = GROUPS, **training: object,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Learn the targets of one reference network in every kind of company, ``runs`` times each.

    The same run starts from the same weights in every group. Groups of one size share stacks.

    Args:
        network: to build from each seed.
        x: (n, ...) the samples of the kernel.
        y: (n,) labels.
        kappa: (n, n) kernel over them.
        count: company of each target.
        runs: networks per group.
        seed: of the initialisations and of company that is drawn, anew in every run.
        cache: keeps what was trained.
        choices: of targets, names of ``CHOICES``.
        groups: kinds of company.
        **training: passed to ``lpntk.learn.training.train``: epochs, lr, batch_size, ...

    Returns:
        ``frame``, a row for each choice, group, run and target: its ``difficulty``, ``first`` and ``last`` loss (nats;
        NaN if the run was unstable), ``dose`` (sum of its kernels with all that is learned with it: the company of
        other targets pulls, too), ``negative`` (share of kernels with its company below zero; NaN if alone), and
        whether the run ``diverged`` or was ``unstable``. ``curves``, a row for each choice, group and epoch: loss of
        the targets, ``mean`` and ``sd`` over runs.
    """
    seeds = np.random.SeedSequence([seed, 2]).generate_state(runs).tolist()
    of, sets = [], []  # what a stack's part is of; its targets and company, one row each
    for choice in choices:
        heads = CHOICES[choice](kappa, y)  # (k,)
        for group in groups:
            draws = seeds if group == "random" else seeds[:1]
            drawn = [company(kappa, y, heads, group, count, seed=s) for s in draws]
            of.append((choice, group, heads))
            rows = torch.stack([torch.cat([heads, *parts]) for parts in drawn])  # (1 or runs, k + k count)
            sets.append(rows.expand(runs, -1))
    frames, curves = [], []
    for size in sorted({rows.shape[1] for rows in sets}):
        own = [i for i, rows in enumerate(sets) if rows.shape[1] == size]
        history = train_many(
            network, x, y, torch.cat([sets[i] for i in own]), seeds=seeds * len(own), cache=cache, shuffle=False,
            progress=f"{size} samples", **training,
        )  # fmt: skip
        unstable = history.unstable
        told = history.loss.masked_fill(unstable[:, None, None], torch.nan)
        for at, i in enumerate(own):
            part = slice(at * runs, (at + 1) * runs)
            choice, group, heads = of[i]
            loss = told[part, :, : len(heads)]  # (runs, epochs, k)
            company_of = sets[i][:, len(heads) :].view(runs, len(heads), -1)  # (runs, k, count)
            dose = kappa[heads][:, sets[i]].sum(dim=2).T - kappa.diagonal()[heads]  # (runs, k)
            frames.append(pd.DataFrame({
                "targets": choice, "group": group, "run": np.repeat(range(runs), len(heads)),
                "target": np.tile(heads, runs), "difficulty": loss.sum(dim=1).flatten(),
                "first": loss[:, 0].flatten(), "last": loss[:, -1].flatten(), "dose": dose.flatten(),
                "negative": (kappa[heads[:, None], company_of] < 0).float().mean(dim=2).flatten(),
                "diverged": np.repeat(history.diverged[part], len(heads)),
                "unstable": np.repeat(unstable[part], len(heads)),
            }))  # fmt: skip
            mean = loss.mean(dim=2).numpy()  # (runs, epochs)
            kept = mean[np.isfinite(mean).all(axis=1)]
            sd = kept.std(axis=0) if len(kept) else np.full(mean.shape[1], np.nan)
            line = kept.mean(axis=0) if len(kept) else sd
            curves.append(pd.DataFrame({"targets": choice, "group": group, "epoch": range(1, mean.shape[1] + 1),
                                        "mean": line, "sd": sd}))  # fmt: skip
    return pd.concat(frames, ignore_index=True), pd.concat(curves, ignore_index=True)
