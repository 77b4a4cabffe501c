# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own data
#
# What `python -m lpntk report` finds, as a notebook ([what each column means](../book/your-data.md)). On your own data:
#
#     papermill notebooks/16-your-data.ipynb yours.ipynb -p data yours.csv
#
# where `data` is an `.npz`, a folder of images by class, a CSV or a name, and `label` the column of the classes in a CSV. Without `data` a report on a named data set
# is shown, and then it is measured how many planted errors such reports find.
#
# **Fixed in advance.** Labels are flipped in three sets: any other label, equally likely; the next class; and any other in a table, scikit-learn's 569 tumours. Which samples
# stand first? The report is asked in three ways: by its ranking, and by each of its two marks alone. Beside it stand the loss of the same trained network, and
# cleanlab: probabilities out of sample by cross-validation with five folds, the same architecture and recipe, then `find_label_issues` (worst first, samples that it does not list behind those
# that it does) and the label quality score, which by default puts samples in the order of their loss out of sample. What is compared is the share of flipped labels among the first 100, or
# among as many as were flipped where these are fewer. Beside it stands the average precision of the whole order. Samples, flips and networks are drawn anew in every
# repeat. There is no verdict: means and standard deviations are shown.

# %% tags=["parameters"]
data = ""  # yours: an .npz, a folder of images by class, a CSV; the comparison is then left out
label = ""  # the column of the classes in a CSV, if its name does not tell
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz: what is shown and planted into
model = ""  # or "mlp", "lenet5", "lenet", "resnet18"; by default as the shape of the data suggests
options = {}  # of the architecture
n = 1437  # training samples
rates = {"uniform": 0.1, "pairwise": 0.1, "table": 0.1}  # share of flipped labels in each planted set
repeats = 5
training_epochs = 0  # of every training; 0 for as many as give about 1000 steps
budget = 2.0  # GiB for a kernel
seed = 0
device = "auto"
results = "../results/interactive/16-your-data"

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from IPython.display import Markdown

from lpntk.keep.cache import Cache
from lpntk.reader.own import compared, figures
from lpntk.reader.own.compared import METHODS, Case
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.network import learner
from lpntk.reader.own.page import write_report
from lpntk.reader.own.study import asked
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import numbers, words

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## The report

# %%
clean = read_own(data or dataset, label=label or None, seed=seed)
given = clean if data else compared.some(clean, n, seed)
by = learner(given.data, model=model or None, options=options, built_by=None, checkpoint=None, seed=seed)
found = asked(
    given, by, epochs=training_epochs or None, budget=int(budget * 2**30), device=device, seed=seed, cache=cache
)
told = {"version": "of this book", "device": device, "seconds": round(cache.seconds)}
with TemporaryDirectory() as folder:
    write_report(Path(folder), given, by, found, source=given.data.name, told=told, seed=seed, device=device)
    (record.folder / "report.html").write_bytes(Path(folder, "report.html").read_bytes())
record.update("report", {"samples": len(found.samples), "classes": given.data.k, "accuracy": found.accuracy,
                         "learned": found.learned, "epochs": found.training["epochs"]})  # fmt: skip
Markdown(
    f"{len(found.samples):,} training samples of {given.data.k} classes; {by.words}, right on {found.accuracy:.1%} of the test samples. "
    + " ".join(given.notes)
    + (
        " Its page, as one file: [report.html](report.html)."
        if found.learned
        else " **It has not learned, so nothing is ranked.**"
    )
)

# %% [markdown]
# The first suspects, each with its rank and its label. Most are right, and hard to read:

# %%
record.figure(
    "suspects", figures.drawn_suspects(found.samples, given.data, 24)
) if found.learned and given.pictures else None

# %%
columns = ["suspicion_rank", "name", "label", "reason"]
first = found.samples.sort_values("suspicion_rank")[columns].head(8) if found.learned else None
left = [{"selector": "td, th", "props": "text-align: left"}]
first.rename(columns={"suspicion_rank": "rank"}).style.hide(axis="index").set_table_styles(
    {"reason": left}
).set_table_attributes('class="dataframe"') if found.learned else None

# %%
record.figure(
    "suspicion", figures.drawn_suspicion(found.samples, found.samples.sort_values("suspicion_rank").index[:24].tolist())
) if found.learned else None

# %% [markdown]
# Each class, with the median of its mean cosines, its clusters and the largest of them:

# %%
found.classes.set_index("class").style.format(
    {"accuracy": "{:.0%}", "cosine": "{:.2f}"}, na_rep="-"
).set_table_attributes('class="dataframe"')

# %% [markdown]
# ## Planted errors
#
# The share of flipped labels among the first. A dot is a repeat, a bar their mean, the dotted line what chance gives. Blue: the report by its ranking and by the cosine.
# Orange: losses. Pink: cleanlab.

# %%
same = {"n": n, "model": model or None, "options": options, "epochs": training_epochs or None}
sets = {threat: Case(clean, threat=threat, rate=rate, **same) for threat, rate in rates.items() if threat != "table"}
if "table" in rates:
    table = compared.breast_cancer(seed)
    sets["table"] = Case(table, len(table.index), "uniform", rates["table"], epochs=training_epochs or None)
frame = (
    None if data else compared.compare(sets, repeats, seed=seed, budget=int(budget * 2**30), device=device, cache=cache)
)
titles = {"uniform": "flipped to any class", "pairwise": "flipped to the next class", "table": "a table of tumours"}
titles = {name: titles[name] for name in sets}
None if data else record.figure("found", figures.found_first(frame, titles, METHODS))

# %%
if not data:
    record.frame("found", frame)
    record.update("found", numbers(frame, ["case", "method"], ["found", "ap"]))
    once = (
        frame[frame["method"] == "issues"]
        .groupby("case")[["n", "planted", "first", "accuracy", "listed", "right"]]
        .mean()
    )
    for name, row in once.iterrows():
        record.update(f"planted.{name}", row.to_dict())
    record.update("scale", {"repeats": repeats, "learned": bool(frame["learned"].all()), "seconds": cache.seconds})


def shown(column):
    """Return a table of means and standard deviations, a row for each method."""
    cells = words(frame, ["method", "case"], [column], "{:.2f}")[column].unstack("case")[list(sets)].loc[list(METHODS)]
    return cells.rename(index=METHODS, columns=titles)


None if data else shown("found")

# %% [markdown]
# The average precision of the whole order, 1 if all that was flipped comes first:

# %%
None if data else shown("ap")

# %% [markdown]
# What cleanlab lists as issues. *Right*: the share of them that were flipped. *Accuracy*: of the report's network on the test part, whose labels are clean.

# %%
None if data else once.rename(index=titles).style.format("{:.0f}").format(
    "{:.1%}", subset=["accuracy", "right"]
).set_table_attributes('class="dataframe"')

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | training, kernels, ranks | `own.study:asked`, `own.ranking:joint_rank` | `test_the_columns_are_what_their_names_say`, `test_either_mark_makes_a_suspect_and_a_sample_alone_has_one` |
# | planted flips | `own.compared:planted` | `test_flips_are_planted_and_known` |
# | probabilities out of sample | `less_data.held_out:out_of_sample` | `test_nobody_is_judged_by_a_network_that_learned_it` |
# | orders, shares among the first | `own.compared:ranked`, `own.compared:compare` | `test_orders_are_those_of_their_scores`, `test_planted_flips_are_counted_among_the_first` |
