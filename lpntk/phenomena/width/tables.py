"""How is it told? Tables, numbers under dotted keys and the verdict in words."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from lpntk.phenomena.width.figures import words
from lpntk.phenomena.width.rates import QUANTITIES, Factor, Rate, by_width, setting, settings
from lpntk.phenomena.width.verdict import Training, Verdict
from lpntk.report.slopes import Slope
from lpntk.report.tables import table


def short(depth: int, parametrisation: str) -> str:
    """Return the name of a setting for the narrow column of a table, such as ``NTK, 2 layers``."""
    return f"{'NTK' if parametrisation == 'ntk' else parametrisation}, {depth} layer{'s' * (depth > 1)}"


def rates(found: Sequence[Rate]) -> Styler:
    """Return one row per setting and error: slopes with intervals, the exponent, measured over predicted."""
    rows = [
        {
            "setting": short(r.depth, r.parametrisation),
            "error of": QUANTITIES[r.quantity],
            "all widths": str(r.all),
            "wider half": str(r.wide),
            "derived": f"{r.exponent:g}",
            "formula": f"{r.formula:.3f}" if r.formula == r.formula else "-",
            "error / predicted": f"{r.ratio[0]:.2f} to {r.ratio[1]:.2f}" if r.ratio[0] == r.ratio[0] else "-",
        }
        for r in found
    ]
    return table(rows, index="setting", formats="{}")


def rate_numbers(found: Sequence[Rate]) -> dict[str, dict[str, float]]:
    """Return ``slope.<setting>.<error>`` -> numbers."""
    return {
        f"slope.{setting(r.depth, r.parametrisation)}.{r.quantity.replace('.', '-')}": {
            "value": r.all.value, "low": r.all.low, "high": r.all.high,
            "wide.value": r.wide.value, "wide.low": r.wide.low, "wide.high": r.wide.high,
            "formula": r.formula, "ratio.low": r.ratio[0], "ratio.high": r.ratio[1],
        }
        for r in found
    }  # fmt: skip


def share_numbers(frame: pd.DataFrame, k: int) -> dict[str, dict[str, float]]:
    """Return, at the least and the greatest width, the share, the directions and what is left at two labels."""
    told = {}
    for depth, parametrisation in settings(frame):
        for name in ("share", "directions", "same.raw", "different.raw"):
            means = by_width(frame, name, depth, parametrisation, k).mean()
            key = f"{setting(depth, parametrisation)}.{name.replace('.', '-')}"
            told[key] = {"narrow": float(means.iloc[0]), "wide": float(means.iloc[-1])}
    return told


def factors(measured: Sequence[Factor]) -> Styler:
    """Return one row per K: the law and every setting, with intervals."""
    rows = []
    for k in dict.fromkeys(f.k for f in measured):
        own = {
            short(f.depth, f.parametrisation): f"{f.mean:.4f} ({f.low:.4f} to {f.high:.4f})"
            for f in measured
            if f.k == k
        }
        rows.append({"K": k, "1 - 4/K": f"{1 - 4 / k:.4f}", **own})
    return table(rows, index="K", formats="{}")


def factor_numbers(measured: Sequence[Factor]) -> dict[str, dict[str, float]]:
    """Return ``factor.<setting>.<K>`` -> mean and interval, and over all the largest deviation and the coverage."""
    told = {
        f"factor.{setting(f.depth, f.parametrisation)}.{f.k}": {"mean": f.mean, "low": f.low, "high": f.high}
        for f in measured
    }
    inside = sum(f.low <= f.law <= f.high for f in measured)
    worst = max(abs(f.mean - f.law) for f in measured)
    return told | {"factor": {"worst": worst, "inside": inside, "cases": len(measured)}}


def training(after: Sequence[Training]) -> Styler:
    """Return one row per setting and width: error before and after, factor, contradictions, what is left of the law."""
    rows = [
        {
            "setting": short(t.depth, t.parametrisation),
            "width": t.width,
            "networks": f"{t.seeds}" + (f" (+ {t.diverged} diverged)" if t.diverged else ""),
            "test accuracy": f"{t.test:.1%}",
            "error before": f"{t.before:.3f}",
            "error after": f"{t.after[0]:.3f}",
            "after / before": f"{t.growth[0]:.2f} ({t.growth[1]:.2f} to {t.growth[2]:.2f})",
            "by the features": f"{t.features[0]:.2f}",
            "factor": f"{t.factor[0]:.2f} ({t.factor[1]:.2f} to {t.factor[2]:.2f})",
            "kernel < 0": f"{t.negative:.1%}",
            "survives": {True: "yes", False: "no", None: "not decided"}[t.survives] if t.judged else "not judged",
        }
        for t in after
    ]
    return table(rows, index="setting", formats="{}")


def training_numbers(after: Sequence[Training], slopes: Mapping[tuple[int, str], Slope]) -> dict[str, dict[str, float]]:
    """Return ``trained.<setting>.<width>`` -> numbers, once more under ``wide`` for the greatest width."""
    wide, told = max(t.width for t in after), {}
    for t in after:
        values = {
            "test": t.test, "before": t.before, "after": t.after[0],
            "growth": t.growth[0], "growth_low": t.growth[1], "growth_high": t.growth[2], "features": t.features[0],
            "factor": t.factor[0], "factor_low": t.factor[1], "factor_high": t.factor[2], "negative": t.negative,
        }  # fmt: skip
        key = f"trained.{setting(t.depth, t.parametrisation)}"
        told[f"{key}.{t.width}"] = values
        if t.width == wide:
            told[f"{key}.wide"] = values
    for (depth, parametrisation), s in slopes.items():
        told[f"trained.{setting(depth, parametrisation)}"] = {
            "slope": s.value,
            "slope_low": s.low,
            "slope_high": s.high,
        }
    factors = [t.factor[0] for t in after if t.width == wide]
    told["trained"] = {"factor_least": min(factors), "factor_most": max(factors), "width": wide}
    return told


def in_words(
    verdict: Verdict, found: Sequence[Rate], measured: Sequence[Factor], after: Sequence[Training], seeds: int
) -> str:
    """Return the verdicts as Markdown, each with the numbers that decided it."""
    own = [r for r in found if r.quantity == "same.raw"]
    name = lambda item: words(item.depth, item.parametrisation)
    slopes = "; ".join(f"{name(r)}: {r.all}" for r in own)
    wide = "; ".join(f"{name(r)}: {r.wide} for {r.exponent:g} (the formula there: {r.formula:.3f})" for r in own)
    told = factor_numbers(measured)["factor"]
    widest = [t for t in after if t.width == max(t.width for t in after)]
    fates = "; ".join(
        f"{name(t)}: error {t.before:.3f} → {t.after[0]:.3f}, times {t.growth[0]:.2f} ({t.growth[1]:.2f} to "
        f"{t.growth[2]:.2f}), factor {t.factor[0]:.2f} ({t.factor[1]:.2f} to {t.factor[2]:.2f})"
        for t in widest
    )
    return "\n".join(
        [
            f"1. The rate $O(w^{{-1/2}})$ **{verdict.rate}** for pairs of one label ({seeds} seeds). Slopes over all "
            f"widths: {slopes}.",
            f"2. The exponents derived by us **{verdict.exponents}**. Slopes over the wider half: {wide}.",
            f"3. The factor $1 - 4/K$ **{verdict.factor}** at width {measured[0].width}: the largest deviation is "
            f"{told['worst']:.4f}, and {told['inside']} of {told['cases']} intervals contain it.",
            f"4. After training, at width {widest[0].width} ({widest[0].seeds} networks each), the law "
            f"**{verdict.training}**: {fates}.",
        ]
    )
