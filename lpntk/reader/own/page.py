"""How does a report look? One page of HTML that holds its style, figures and images, and the files beside it."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from lpntk.kernel.reading import INTERCHANGEABLE, UNRELATED
from lpntk.reader.own.figures import drawn_sizes, drawn_suspicion
from lpntk.reader.own.inputs.given import Given
from lpntk.reader.own.network import Learner
from lpntk.reader.own.ranking import extreme_pairs
from lpntk.reader.own.study import COMPARED, Found, labels_near

SUSPECTS, CLUSTERS, MEMBERS, SHOWN_PAIRS = 24, 12, 7, 8  # how many of each the page shows, of suspects at most
LEAST_SUSPECTS = 6  # shown even where they are more than a tenth of all samples
FORMULA = r"[=+\-@\t\r]"  # how a text begins that a spreadsheet runs
TOP = 0.05  # share of suspects that the table of classes counts


def write_report(
    folder: Path, given: Given, by: Learner, found: Found, *, source: str, told: dict[str, object], seed: int,
    device: str,
) -> list[str]:  # fmt: skip
    """Write page, table, lists and figures into a folder that is empty, and return the names of the files.

    ``told`` holds ``version``, ``device`` in words and ``seconds``; ``seed`` draws whom suspects are compared with.
    """
    frame = found.samples
    drawings = {"clusters": drawn_sizes(frame)}
    shown = min(SUSPECTS, max(LEAST_SUSPECTS, len(frame) // 10))
    suspects = frame.sort_values("suspicion_rank").index[:shown].tolist() if found.learned else []
    if found.learned:
        drawings["suspicion"] = drawn_suspicion(frame, suspects)
    (folder / "figures").mkdir()
    drawn = {}
    for name, figure in drawings.items():
        drawn[name] = _png(figure)
        (folder / "figures" / f"{name}.png").write_bytes(drawn[name])
    listed = {f"kept-{round(100 * share)}.txt": given.index[rows] for share, rows in found.kept.items()}
    for name, rows in listed.items():
        (folder / name).write_text("".join(f"{i}\n" for i in rows), "utf-8")
    kinds = {"Interchangeable": "nearest", "Contradictory": "contradictory"}
    told_pairs = {title: extreme_pairs(frame, kind, SHOWN_PAIRS) for title, kind in kinds.items()}
    largest = _largest(frame)
    used = {*suspects, *(i for both in told_pairs.values() for i, j, _ in both for i in (i, j)),
            *(i for one in largest for i in (one["head"], *one["members"]))}  # fmt: skip
    pictures = {i: _image_of(given, i) if given.pictures else None for i in used}
    near = labels_near(found, given.data, np.array(suspects), device, seed) if suspects else []
    classes = found.classes.astype(object).where(found.classes.notna(), None).to_dict("records")
    if found.learned:
        first = frame[frame["suspicion_rank"] <= max(1, round(TOP * len(frame)))]["label"].value_counts()
        for row in classes:
            row["suspects"] = int(first.get(row["class"], 0))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text("utf-8"))
    page = template.render(
        title=given.data.name, source=source, n=len(frame), tested=len(given.data.y_test), shape=_shape(given),
        notes=given.notes, counted=given.counted, network=by.words,
        trained=_training(found.training), epochs=found.training["epochs"], accuracy=found.accuracy, bar=found.bar,
        learned=found.learned, suspects=suspects, near=dict(zip(suspects, near, strict=True)),
        compare=min(COMPARED, len(frame)), reasons=frame.get("reason"),
        odd={i: _odd(given, frame, i) for i in suspects},
        names=frame["name"], labels=frame["label"], pictures=pictures, largest=largest, pairs=told_pairs,
        interchangeable=INTERCHANGEABLE, contradictory=UNRELATED, classes=classes,
        few=[row["class"] for row in classes if row["train"] < 5], figures={k: _inline(v) for k, v in drawn.items()},
        kept={name: len(rows) for name, rows in listed.items()}, **told,
    )  # fmt: skip
    (folder / "report.html").write_text(page, "utf-8")
    _for_sheets(_table(frame, given)).to_csv(folder / "samples.csv", index=False, float_format="%.6g")
    return ["report.html", "samples.csv", *listed, *(f"figures/{name}.png" for name in drawn)]


def _table(frame: pd.DataFrame, given: Given) -> pd.DataFrame:
    """Return the samples with others named by their index, as the reader counts."""
    table = frame.copy()
    for name in ("nearest", "contradictory"):
        at = table[name].fillna(-1).astype(int).to_numpy()
        table[name] = pd.Series(np.where(at >= 0, given.index[at], -1), dtype="Int64").mask(at < 0)
    table["nearest_interchangeable"] = table.pop("nearest").where(table["nearest_cosine"] >= INTERCHANGEABLE)
    table = table.rename(columns={"contradictory_cosine": "least_cosine"})
    table["contradictory"] = table["contradictory"].where(table["least_cosine"] <= -UNRELATED)
    table["head"], table["kernel_head"] = table["head"].astype(int), table["kernel_head"].astype(int)
    first = ["index", "name", "label", "suspicion_rank", "reason", "redundancy_rank", "cluster", "cluster_size", "head",
             "difficulty", "mean_cosine", "nearest_interchangeable", "nearest_cosine"]  # fmt: skip
    first = [name for name in first if name in table]
    return table[[*first, *(name for name in table if name not in first)]]


def _for_sheets(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would run as a formula; numbers stay as they are."""
    table = table.copy()
    for name in table.columns.intersection(["name", "label", "reason"]):
        texts = table[name].astype(str)
        runs = texts.str.match(FORMULA) & pd.to_numeric(texts, errors="coerce").isna()
        table[name] = texts.where(~runs, "'" + texts)
    return table


def _training(training: dict[str, object]) -> str:
    if not training["epochs"]:
        return "It was loaded as it is, and not trained here."
    return (
        f"It learned for {training['epochs']} epochs by SGD with batches of {training['batch']} and a learning rate "
        f"that falls from {training['rate']:g}."
    )


def _shape(given: Given) -> str:
    c, h, w = given.data.in_shape
    if not given.pictures:
        return f"a row of {c * h * w} numbers"
    return f"an image of {w} × {h} pixels, {'grey' if c == 1 else 'in colour' if c == 3 else f'of {c} channels'}"


def _largest(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return the largest cluster of each class, the largest first; members in the order of their redundancy."""
    sizes = frame[frame["head"]].sort_values("cluster_size", ascending=False).drop_duplicates("label").head(CLUSTERS)
    told = []
    for head, row in sizes[sizes["cluster_size"] > 1].iterrows():
        members = frame.index[(frame["cluster"] == row["cluster"]) & (frame.index != head)]
        if "redundancy_rank" in frame:
            members = frame.loc[members].sort_values("redundancy_rank").index
        told.append({"label": row["label"], "size": int(row["cluster_size"]), "head": head,
                     "members": members[:MEMBERS].tolist(), "more": max(0, len(members) - MEMBERS)})  # fmt: skip
    return told


def _odd(given: Given, frame: pd.DataFrame, i: int) -> str:
    """Return in words by which features of a table a sample lies farthest from the median of its class."""
    if not given.columns:
        return ""
    x = given.data.x_train.flatten(1).numpy()
    apart = x[i] - np.median(x[(frame["label"] == frame["label"][i]).to_numpy()], axis=0)
    most = np.abs(apart).argsort()[::-1][:3]
    return ", ".join(f"{given.columns[j]} ({apart[j]:+.1f})" for j in most if abs(apart[j]) >= 1)


def _image_of(given: Given, i: int) -> str:
    pixels = given.data.pixels(given.data.x_train[i : i + 1])[0].numpy()
    image = Image.fromarray((255 * pixels).round().astype(np.uint8).squeeze())
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return _inline(kept.getvalue())


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _png(figure: Figure) -> bytes:
    kept = io.BytesIO()
    figure.savefig(kept, format="png", dpi=150)
    return kept.getvalue()
