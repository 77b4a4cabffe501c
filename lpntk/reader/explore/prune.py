"""What goes, and what does it cost? Samples that a method leaves out, and the accuracy measured without them."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.phenomena.less_data.selection.arms import ARMS
from lpntk.phenomena.less_data.selection.figures import GROUPS
from lpntk.phenomena.less_data.selection.study import WHOLE
from lpntk.reader.explore.images import sprite
from lpntk.reader.explore.widget import Explorer, within
from lpntk.report.slopes import mean_interval

LEVEL = 0.9  # of an interval, as on the page on less data


def measured(frame: pd.DataFrame, arm: str, share: float) -> dict[str, object]:
    """Return what trainings on what an arm keeps have reached, with as many epochs as on all samples.

    Args:
        frame: of ``selection.study``.
        arm: which.
        share: that it keeps; 1 for all samples.

    Returns:
        ``mean`` test accuracy, the ends ``low`` and ``high`` of its t interval over repeats (None for one repeat),
        ``repeats``.

    Raises:
        ValueError: if nothing was measured there.
    """
    rows = frame[(frame["count"] == "epochs") & (frame["arm"] == (WHOLE if share == 1 else arm))]
    values = rows.loc[rows["share"] == share, "last"].to_numpy()
    if not len(values):
        raise ValueError(f"expected a row of {arm!r} with the share {share} in the frame; got none: add it to shares")
    ends = [round(end, 5) if end == end else None for end in mean_interval(values, LEVEL)]
    return {**dict(zip(("mean", "low", "high"), ends, strict=True)), "repeats": len(values)}


def prune_it_yourself(
    data: Dataset, rows: Tensor, kept: Mapping[tuple[str, float], Tensor], frame: pd.DataFrame, *, shown: int
) -> Explorer:
    """Return the explorer of what is left out.

    Args:
        data: the task.
        rows: (n,) training samples of one repeat, before any is left out.
        kept: arm and share -> which of them are kept, as ``selection.study:chosen`` returns it.
        frame: of ``selection.study``.
        shown: samples that are shown, at most; they are drawn at random.
    """
    n, y = len(rows), data.y_train[rows]
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:shown].sort().values
    part = drawn[y[drawn].argsort(stable=True)]
    arms = [arm for arm in ARMS if any(arm == name for name, _ in kept)]
    shares = [1.0, *sorted({share for name, share in kept if name in arms}, reverse=True)]
    removed = [round(100 * (1 - share)) for share in shares]
    lines = {arm: [measured(frame, arm, share) for share in shares] for arm in arms}

    def answer(choice: dict[str, object]) -> dict[str, object]:
        """Return everything that is shown of the chosen ``method`` when ``removed`` percent of the samples go."""
        arm, gone = within(choice, "method", arms), within(choice, "removed", removed)
        at = removed.index(gone)
        stays = torch.ones(n, dtype=torch.bool)
        if gone:
            stays = torch.zeros(n, dtype=torch.bool).index_fill(0, kept[arm, shares[at]].long(), True)
        state = {"method": arm, "removed": gone, "kept": "".join("01"[int(stays[i])] for i in part.tolist()),
                 "left": int(stays.sum()), "n": n, **lines[arm][at]}  # fmt: skip
        return state | {"said": _pruned_said(state, lines[arm][0]["mean"])}

    given = {
        "sprite": sprite(data, data.x_train[rows[part]]), "labels": [data.classes[int(label)] for label in y[part]],
        "groups": {title: {arm: ARMS[arm][0] for arm in arms if ARMS[arm][1] == group}
                   for group, title in GROUPS.items() if any(ARMS[arm][1] == group for arm in arms)},
        "removed": removed, "lines": lines,
        "about": f"Shown are {len(part)} of the {n} training samples of the first repeat, by class. Accuracy is that "
                 "on the test set after the last epoch, with as many epochs as on all samples: mean over "
                 f"{lines[arms[0]][0]['repeats']} repeats with its {LEVEL:.0%} interval.",
    }  # fmt: skip
    choices = [{"method": arm, "removed": gone} for arm in arms for gone in removed]
    return Explorer("prune", given, answer, choices, {"method": arms[0], "removed": removed[len(removed) // 2]})


def _pruned_said(state: dict[str, object], whole: float) -> str:
    """Return the sentences that tell of a method and a share."""
    interval = "" if state["low"] is None else f" ({state['low']:.1%} to {state['high']:.1%})"
    if not state["removed"]:
        return f"All {state['n']} samples: test accuracy {state['mean']:.1%}{interval}."
    return (
        f"{ARMS[state['method']][0]}: {state['left']} of {state['n']} samples are kept. Test accuracy "
        f"{state['mean']:.1%}{interval}; with all samples {whole:.1%}."
    )
