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
# # Difficulty
#
# Some samples are learned late and at great cost, others at once. Is that a property of the sample, or of the company it is learned in?
# **The paper's hypothesis** (its Figures 1, 4 and 5): it is made by the company. The smaller the set, the less a sample's difficulty there
# has to do with its difficulty in a large set.
#
# **Difficulty** is the loss of a sample accumulated over training, one term per presentation, before the update
# ([equation](../book/theory.md)). The authors' public code accumulates the L2 distance between softmax and one-hot target; we report both.
# **The experiment**: learn a universal set of $N$ samples as a whole; split it into disjoint subsets of $X$ samples, smaller ones inside
# larger ones, and learn each with a network of its own. *Size* counts samples **in total**, as the paper writes, or samples **of each class**, as
# in the authors' code.
#
# **Noise.** A low correlation proves nothing if difficulty is noisy. So every set is learned *twice*, by networks that differ in their seed alone
# (initialisation and order). The correlation between the two is the *reliability* $r(X)$. What two noisy measurements share is at most
# $\sqrt{r(N)\, r(X)}$, and $\rho^*(X) = \rho(X) / \sqrt{r(N)\, r(X)}$ is what would be left without noise (Spearman, 1904).
#
# **The direct test.** Size changes more than company. So we keep the size and change the company: subsets of one size, eight at a time, swap their
# samples at random, and every sample is learned once more among others. Three networks of each size give three pairings: same company and other seed;
# other company and other seed; other company and same seed. The first two differ in the company only.
#
# **Updates.** In as many epochs a small set gets fewer updates than a large one. So we ask again with equal *updates* at every size, the
# universal set included; the learning rate then falls along a cosine over all of them.
#
# **The rules.** Correlations are Spearman's, over samples, means over repetitions. Each repetition draws a universal set, splits and seeds anew. Intervals
# are of 95 %, by a bootstrap that draws repetitions, and samples in each of them.
#
# - A size has *learned* if the mean loss at its last presentation is at most half of that at the first, in every repetition. A network is *unstable* if
#   it diverged or once gave a sample a loss above 100 nats; it is left out, and a size with more than a tenth of them is no evidence. Nor is a size that did
#   not learn, a case whose universal set did not, a size with a reliability below 0.2 (of it or of the universal set), or a single sample, which has no company.
# - *The decline* of $\rho^*$ **holds** if it falls at every step to a smaller size (below 0.1 a rise does not count) and the intervals of the largest
#   and the smallest size lie apart; it **holds in part** if they lie apart and a step rises within chance. It **fails** if $\rho^*$ rises at a step, to above
#   0.1 and with both intervals apart, or if from the largest to the smallest size it cannot fall by as much as 0.1. Else it **is undecided**. It **cannot be judged** with fewer than 5
#   repetitions, or if fewer than two sizes, or less than half of them, are evidence.
# - *Difficulty depends on the company* **holds** at a size if the interval of the correlation with the same company minus that with other
#   company, seeds differing in both, lies above 0; it **fails** if the interval lies below 0.05. Sizes are joined: it holds or fails if it does at all of them, and holds in part if it holds at some.
#   It cannot be judged where the decline cannot (added on 26 November 2026, after the results: one size of three had decided before).
# - *Company counts for more than the seed* is a harder test by the same rule: the same company with another seed, minus other company with the same seed.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet"; "resnet18" is trained one by one
options = {"hidden": [128]}  # of the architecture: hidden widths of the mlp, width of the resnet18, ...
cases = ["fast.epochs", "slow.epochs", "fast.updates", "slow.updates", "class.epochs"]
n = 1024  # universal set, size in total
sizes = [256, 64, 16, 4, 1]
n_class = 64  # universal set, size per class
sizes_class = [16, 4, 1]
followed = 256  # samples that are learned at a size, at most, in each repetition, but at least eight subsets
lr = [0.1, 0.001]  # fast and slow: the paper's Figures 4 and 5 ...
batch_size = [128, 256]  # ... each with its batch size
epochs = 30
schedule = "step"  # of the learning rate with equal epochs: times 0.7 every two, or "cosine"
updates = 120  # with equal updates
least = 16  # smallest size that makes equal updates
momentum = 0.9
weight_decay = 0.0005
repetitions = 5
seed = 0
device = "auto"
results = "../results/interactive/02-difficulty"

# %%
RULE = {"repetitions": 5, "reliable": 0.2, "flat": 0.1, "none": 0.05, "level": 0.05}

# %%
from functools import partial

import pandas as pd
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.difficulty import figures, verdict
from lpntk.phenomena.difficulty import study as difficulty
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import keyed

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## The experiment

# %%
images = data.load(dataset)
network = Network(model, images.in_shape, images.k, options)
chosen = difficulty.cases(cases, {"total": (n, sizes), "class": (n_class, sizes_class)}, lr, batch_size, least)
networks, samples = difficulty.study(
    network,
    images,
    chosen,
    repetitions=repetitions,
    followed=followed,
    epochs=epochs,
    updates=updates,
    schedule=schedule,
    seed=seed,
    cache=cache,
    momentum=momentum,
    weight_decay=weight_decay,
    device=device,
)
table = verdict.compared(networks, samples, RULE, seed=seed)
record.frame("networks", networks)
record.frame("correlations", table)
record.number("n", n)
record.update(
    "scale", {"repetitions": repetitions, "networks": networks["models"].sum(), "training_seconds": cache.seconds}
)
words = {case.key: case.words for case in chosen}
rows = lambda case, measure="loss", way="rank": table[
    (table["case"] == case) & (table["measure"] == measure) & (table["way"] == way)
]
costs = lambda case: samples[(samples["case"] == case) & (samples["measure"] == "loss")]

# %% [markdown]
# ## What each size learned
#
# Means over repetitions and networks. Losses in nats; guessing among $K$ classes costs $\ln K$. Accuracy is that on the own samples at the end.

# %%
networks.groupby(["case", "size"], sort=False).agg(
    networks=("models", "sum"),
    unstable=("unstable", "sum"),
    steps=("steps", "mean"),
    first_loss=("first", "mean"),
    last_loss=("last", "mean"),
    accuracy=("accuracy", "mean"),
).style.format(precision=2, na_rep="-").set_table_attributes('class="dataframe"')

# %% [markdown]
# ## Fast: the setting of Figure 4
#
# One point is one sample, first repetition. Grey: the universal set twice. The $\rho$ in the titles is Spearman's, mean over repetitions.

# %%
record.figure("scatter", figures.scatter(costs("fast.epochs"), rows("fast.epochs")))

# %% [markdown]
# Left: the correlation with the universal set, as measured and without noise. Right: two networks of one size with the same company, and with other company.

# %%
record.figure("rho", figures.by_size(rows("fast.epochs")))

# %% [markdown]
# ## Slow: the setting of Figure 5
#
# A run without a slow case shows its first one again.

# %%
slow = next((case for case in cases if case.startswith("slow")), cases[0])
record.figure("scatter-second", figures.scatter(costs(slow), rows(slow)))

# %% [markdown]
# ## All cases
#
# $\rho^*$ with the universal set, and how much higher the correlation is with the same company than with other company. Crosses: sizes that did not learn.

# %%
record.figure("all", figures.all_cases(rows(table["case"]), words))
# %%
shown = ["rho", "reliability", "corrected", "neither", "company", "against"]
overview = table[(table["measure"] == "loss") & (table["way"] == "rank")].set_index(["case", "size"])
overview[[*shown, "evidence"]].style.format(precision=2, na_rep="-").set_table_attributes('class="dataframe"')

# %% [markdown]
# ## Verdict
#
# By the rules at the top, of every case; by loss or distance, by ranks (Spearman) or values (Pearson, as in the paper, whose correlations a few very
# hard samples can rule).

# %%
judged = []
for case in cases:
    for measure in ("loss", "distance"):
        for way in ("rank", "value"):
            part = rows(case, measure, way)
            judged.append(
                {
                    "case": words[case],
                    "by": f"{measure}, {way}",
                    "decline": verdict.decline(part, repetitions, RULE).word,
                    "company": verdict.direct(part, repetitions, RULE).word,
                    "more than the seed": verdict.direct(part, repetitions, RULE, "against").word,
                }
            )
pd.DataFrame(judged).set_index(["case", "by"])
# %%
said = []
ends = [f"{name}_{end}" for name in ("corrected", "company", "against") for end in ("low", "high")]
for case in cases:
    told = {"decline": verdict.decline, "company": verdict.direct, "against": partial(verdict.direct, of="against")}
    found = {name: judge(rows(case), repetitions, RULE) for name, judge in told.items()}
    record.update(case, {name: one.word for name, one in found.items()} | {"whole": rows(case)["whole"].mean()})
    record.update(case, keyed(rows(case), "{size}.{column}", ["seen", *shown, *ends]))
    record.update(
        case, {f"{size}.pearson": rho for size, rho in rows(case, way="value").set_index("size")["rho"].items()}
    )
    said.append(
        f"- {words[case]}: the decline **{found['decline']}** ({found['decline'].because}) That difficulty depends on the company "
        f"**{found['company']}**: {found['company'].because} That company counts for more than the seed **{found['against']}**."
    )
Markdown("\n".join(said))

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | difficulty, unstable networks | `History.difficulty`, `History.unstable` | `test_difficulty_of_a_hand_made_history`, `test_unstable_networks_are_counted_and_left_out` |
# | universal sets, nested subsets | `universal_set`, `nested_subsets` | `test_nested_subsets_are_disjoint_nested_and_cover`, `test_both_readings_of_size` |
# | other company | `other_company` | `test_other_company_holds_the_same_samples_and_few_old_companions` |
# | trainings | `difficulty.study:study` | `test_the_study_is_seeded_and_complete`, `test_equal_updates_are_equal` |
# | correlations, correction, intervals | `difficulty.verdict:compared` | `test_noise_of_known_reliability_is_corrected`, `test_intervals_cover` |
# | verdicts | `difficulty.verdict:decline`, `difficulty.verdict:direct` | `test_the_decline_follows_its_rule`, `test_company_is_found_where_it_was_planted` |
