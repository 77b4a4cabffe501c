"""What did the full benchmark find? Its committed records, ``results/bench/*.json`` as written by ``bench/run.py``."""

import json
import os
from collections.abc import Callable, Iterable

import pandas as pd

from lpntk.keep.files import as_notebooks_say

LIBRARIES = ("vmap-grad", "trak", "nngeometry", "backpack", "opacus", "kronfluence")  # torch.func is torch's own


def read(folder: str | os.PathLike) -> pd.DataFrame:
    """Return a row for each variant, network, number of threads and of samples in the records of ``bench/run.py``.

    Columns: ``record`` (name of the file), ``hardware`` in words, ``network``, ``p`` (parameters), ``threads``, ``n``,
    ``variant``, ``seconds`` (the median of its runs; NaN where it did not run or gave a wrong matrix), the ends
    ``shortest`` and ``longest`` of its ``runs``, ``ratio`` (to ``ours``), ``extrapolated`` (from a part of the work),
    and ``reason`` (why there are no seconds). Here and below a relative folder counts from the notebooks, and what is
    not there gives no row.

    Raises:
        ValueError: if a file is no report of the benchmark.
    """

    def rows(content: dict) -> Iterable[dict]:
        for r in content["records"]:
            told = {key: r[key] for key in ("network", "p", "threads", "n", "variant")}
            ran = r["status"] == "ok" and r["seconds"] is not None
            yield {**told, "seconds": r["seconds"] if ran else None, "shortest": r["seconds_min"],
                   "longest": r["seconds_max"], "runs": r["repeats"], "ratio": r["ratio_to_ours"],
                   "extrapolated": r["extrapolated_from"] is not None,
                   "reason": "" if ran else r["reason"] or r["status"]}  # fmt: skip

    return _records(folder, "*.json", "report of bench/run.py", rows)


def whole_mnist(folder: str | os.PathLike) -> pd.DataFrame:
    """Return a row for every committed run of ``bench/mnist.py``, which measures the kernel of all of MNIST.

    Raises:
        ValueError: if a file is no such record.
    """

    def rows(content: dict) -> Iterable[dict]:
        parts = content.get("blocks", [content])
        seconds, flops = content["seconds"], sum(part["flops"] for part in parts)
        sizes = [part["n"] for part in parts]
        yield {
            "samples": f"{sizes[0]:,}" if len(sizes) == 1 else f"{len(sizes)} x {min(sizes):,} to {max(sizes):,}",
            "threads": content["threads"],
            "seconds": seconds,
            "GFLOP": flops / 1e9,
            "share of the GEMM peak": flops / seconds / content["gemm_peak"],
            "resident GiB": content["peak_resident_bytes"] / 2**30,
            "error": max(part["error"] for part in parts),
        }

    return _records(folder, "mnist/*.json", "record of bench/mnist.py", rows).rename(columns={"record": "kernel"})


def stacking(folder: str | os.PathLike) -> pd.DataFrame:
    """Return a row for each model and batch size in the runs of ``bench/stacking.py``: milliseconds of each way.

    Raises:
        ValueError: if a file is no such record.
    """
    rows = lambda content: [{**row, "threads": content["threads"]} for row in content["rows"]]
    return _records(folder, "stacking/*.json", "record of bench/stacking.py", rows)


def all_pairs(folder: str | os.PathLike) -> dict[str, float] | None:
    """Return what all pairs of MNIST are to each other, as ``sweep`` read it; None if it was never measured."""
    path = as_notebooks_say(folder) / "mnist" / "all-pairs.json"
    return json.loads(path.read_text())["relations"] if path.exists() else None


def leads(reports: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each record, network and number of samples: our ``seconds``, and the fastest other library.

    Columns besides: ``library``, of those that were timed there, nothing extrapolated, and ``ratio``, its seconds over
    ours; ``plain``, the same of the plain layer-wise program that a reader may write (``bench/plain.py``). To both
    belong ``_least`` and ``_most``, the shortest run over our longest and the longest over our shortest, and ``_runs``,
    how many there were. Rows without a library are left out.
    """
    keys = ["record", "hardware", "network", "threads", "n"]
    timed = reports[reports.seconds.notna() & ~reports.extrapolated].set_index(keys)
    ours = timed[timed.variant == "ours"]

    def over_ours(rows: pd.DataFrame, name: str) -> pd.DataFrame:
        own = ours.loc[rows.index]
        least, most = rows.shortest / own.longest, rows.longest / own.shortest
        ends = pd.DataFrame({f"{name}_least": least, f"{name}_most": most})
        return rows[["ratio", "runs"]].set_axis([name, f"{name}_runs"], axis=1).join(ends)

    others = timed[timed.variant.isin(LIBRARIES)].sort_values("ratio")
    others = others[~others.index.duplicated() & others.index.isin(ours.index)]
    plain = timed[(timed.variant == "plain-layerwise") & timed.index.isin(ours.index)]
    told = others[["variant"]].rename(columns={"variant": "library"}).join(over_ours(others, "ratio"))
    return told.join(ours.seconds).join(over_ours(plain, "plain")).reset_index().sort_values(keys, ignore_index=True)


def ratios(timings: pd.DataFrame) -> pd.DataFrame:
    """Return the table of seconds relative to ours: variant by problem; ``~`` marks what is extrapolated."""

    def shown(t: pd.Series) -> str:
        told = f"{t.seconds:.3g} s" if t.variant == "ours" else f"{t.ratio:,.{0 if t.ratio > 99 else 2}f}"
        return ("~" if t.extrapolated else "") + told.replace("nan", "-")

    problem = timings.network + ", " + timings.threads.map(threads) + timings.n.map(", n = {}".format)
    told = timings.assign(problem=problem, shown=timings.apply(shown, axis=1))
    table = told.pivot(index="variant", columns="problem", values="shown").rename_axis(None).rename_axis(None, axis=1)
    return table.loc[told.variant.unique(), problem.unique()].fillna("-")


def threads(count: int) -> str:
    """Return a number of threads in words."""
    return f"{count} thread{'s' if count > 1 else ''}"


def _records(
    folder: str | os.PathLike, pattern: str, what: str, rows: Callable[[dict], Iterable[dict]]
) -> pd.DataFrame:
    """Return the rows of all files together, each with the name of its file and the hardware in words.

    Raises:
        ValueError: if a file is no such record.
    """
    found: list[dict] = []
    for path in sorted(as_notebooks_say(folder).glob(pattern)):
        try:
            content = json.loads(path.read_text())
            e = content["environment"]
            words = (
                *([e["device"]] if "device" in e else []),
                e["cpu"],
                f"{e['cores']} cores",
                e["isa"],
                e["system"],
                f"torch {e['versions']['torch']}",
                e["date"],
            )
            found += [{"record": path.stem, **row, "hardware": ", ".join(words)} for row in rows(content)]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path.name} is no {what} ({error!r}); write it anew or remove it") from error
    return pd.DataFrame(found)
