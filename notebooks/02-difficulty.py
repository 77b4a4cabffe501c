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
# Some samples are learned late and at great cost, others at once. Is that a property of the sample, or of the company
# it is learned in? **The paper's hypothesis** (its Figures 1, 4 and 5): it is made by the company. If difficulty
# belonged to the sample, it would be the same whether the sample is learned among a thousand others or among four. The
# paper finds that the smaller the set, the less the difficulty in it has to do with the difficulty in the large set,
# because samples make each other easy or hard through the kernel.
#
# **Difficulty** is the loss of a sample accumulated over training, one term per presentation, before the update: the
# area under its loss curve ([equation](../book/theory.md)). The authors' public code accumulates the L2 distance
# between softmax and one-hot target instead; we report both. **The experiment**: learn a universal set of $N$ samples
# as a whole; then split it into disjoint subsets of size $X$, smaller ones inside larger ones, and learn each with a
# model of its own. Every sample then has a difficulty at every size $X$, and $\rho(X)$ is Pearson's correlation between
# the difficulties at $N$ and at $X$. *Size* has two readings: $X$ samples **in total**, as the paper writes, and $X$
# samples **of each class**, as in the authors' public code; "4096 vs 1" is a single sample in the first and one sample
# of each class in the second.
#
# A low $\rho$ proves nothing by itself. Two runs on *the same* set already differ by initialisation and order, so the
# universal set is learned again with another seed, and the correlation between these two runs is the **noise ceiling**,
# what chance alone leaves of a perfect agreement. It is a reference, not a bound: the small sets have a noise of their own,
# which this page does not measure and which lowers $\rho$ too, most of all at the smallest sizes. Nor does a small set get
# as many updates as a large one in the same number of epochs, so size and number of updates change together. And a set on
# which nothing was learned has no difficulty worth the name.
#
# **The rules.** They were rewritten after the first runs on MNIST ([when and why](../book/provenance.md)), and stand as they
# were before every result shown here:
#
# - A size has *learned* if the mean loss at its last presentation is at most half of that at the first; where it has not
#   it is *starved*. A model is *unstable* if it diverged or once gave a sample a loss above 100 nats (a probability of
#   $e^{-100}$); it is counted and left out of every mean, and a size with more than a tenth of such models is unstable.
#   Starved and unstable sizes are **no evidence**.
# - The decline **cannot be judged** if the noise ceiling is below 0.7, the universal set did not learn, fewer than two
#   of the smaller sizes or less than half of them are evidence, or $\rho$ of the largest of these is below 0.2 already.
# - From here on $\rho$ is the mean over repetitions, and its interval the 95 % bootstrap interval of that mean over samples.
#   The decline **fails** if $\rho$ rises, at a step to a smaller size, to above 0.1 with the two intervals lying apart, or
#   if at the smallest size of all the interval lies above 0.2.
# - It **holds** if $\rho$ falls at every step for as long as it is above 0.1, ends below 0.2, and the intervals of the
#   largest and the smallest of the sizes that are evidence lie apart. Whatever is left is within chance, or its end was
#   not seen, and **cannot be judged** either.
#
# The bootstrap draws samples as if each had a network of its own. Samples learned by one network share its luck, so the
# intervals are too narrow where the networks are few, at the large sizes; the spread over repetitions stands beside them.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet"; "resnet18" is trained one by one
options = {"hidden": [128]}  # of the architecture: hidden widths of the mlp, width of the resnet18, ...
n = 1024  # universal set, size read in total
sizes = [256, 64, 16, 4, 1]
n_class = 64  # universal set, size read per class
sizes_class = [16, 4, 1]
readings = ["total", "class"]  # the first is shown in detail
epochs = 30
lr = [0.1, 0.001]  # the settings of the paper's Figures 4 and 5 ...
batch_size = [128, 256]  # ... each with its batch size
schedules = ["step", "constant"]  # the first is shown in detail
momentum = 0.9
weight_decay = 0.0005
measure = "loss"  # shown in detail; or "distance"
seeds = 3  # repetitions of the whole experiment
seed = 0
device = "auto"
results = "../results/interactive/02-difficulty"

# %%
import pandas as pd
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.difficulty import figures as difficulty_plots
from lpntk.phenomena.difficulty import sets as difficulty
from lpntk.phenomena.difficulty import study as difficulty_study
from lpntk.report import plots
from lpntk.report.results import Results

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## The experiment
#
# A *case* is one reading of size, one learning rate with its batch size, and one schedule: `constant`; `step`, which
# multiplies the rate by 0.7 every two epochs, as the authors' settings for MNIST do; or `cosine`, as those for CIFAR-10
# do. Many models are trained side by side, as one stack.
# Universal sets, splits and every initialisation follow from the seed.

# %%
samples = data.load(dataset)
network = Network(model, samples.in_shape, samples.k, options)
both = {"total": (n, sizes), "class": (n_class, sizes_class)}
cases = difficulty_study.cases({r: both[r] for r in readings}, lr, batch_size, schedules)
done = difficulty_study.study(
    network,
    samples,
    cases,
    seeds=seeds,
    seed=seed,
    cache=cache,
    epochs=epochs,
    momentum=momentum,
    weight_decay=weight_decay,
    device=device,
)
rhos = difficulty_study.all_correlations(done, seed=seed)
main, second = cases[0], cases[min(1, len(cases) - 1)]
record.number("n", n)
record.number("training_seconds", cache.seconds)

# %% [markdown]
# ## What each size learned
#
# Means over repetitions, for the first setting. Losses are in nats; guessing among $K$ classes costs $\ln K$.
# Accuracy is that on the training samples after the last epoch, in evaluation mode; losses are taken as presented, in
# training mode. Unstable models, the diverged ones among them, are counted and left out of every mean.

# %%
for case in cases:
    for row in difficulty.learned(done[case], measure):
        record.update(f"learned.{case.key}.{row.pop('size')}", row)
print(main.words)
pd.DataFrame(difficulty.learned(done[main], measure)).set_index("size").style.format(precision=3, na_rep="–")

# %% [markdown]
# ## Scatter
#
# Each point is one sample of the universal set (at most 1,000 are drawn), in the first repetition. The grey panel is
# the ceiling: the same set, another seed. First the setting of the paper's Figure 4.

# %%
record.update("rho", difficulty_study.numbers(rhos[main, measure]))
record.figure("scatter", difficulty_plots.scatter(done[main][0], rhos[main, measure], measure, seed=seed))
# %% [markdown]
# Difficulty has a long tail, and a few very hard samples weigh heavily in Pearson's $\rho$, which the paper reports.
# The rank correlation in the table below cannot be ruled by them, and often tells another story: among the many easy
# samples, which one is the harder is mostly chance, so that two runs on the same set agree less by rank. The verdict
# looks at the mean of the seeds and its interval. A dash: not defined, as the spread where there is one seed.

# %%
pd.DataFrame(difficulty_study.detail(rhos[main, measure])).set_index("size")
# %%
record.figure("rho", difficulty_plots.rho_by_size(rhos[main, measure]))

# %% [markdown]
# ## The second setting
#
# The paper's Figure 5 has a hundredth of the learning rate. With it a set smaller than a batch takes one small step per
# epoch, and where the schedule lets the rate fall even that vanishes: before asking what $\rho$ is, ask whether anything
# was learned.

# %%
print(second.words, "- steps of one model by size:", difficulty_study.steps_taken(second, epochs, samples.k))
pd.DataFrame(difficulty.learned(done[second], measure)).set_index("size").style.format(precision=3, na_rep="–")
# %%
record.figure("scatter-second", difficulty_plots.scatter(done[second][0], rhos[second, measure], measure, seed=seed))
# %%
pd.DataFrame(difficulty_study.detail(rhos[second, measure])).set_index("size")

# %% [markdown]
# ## All cases
#
# Means over repetitions. Hollow circles and numbers in brackets: sizes that are no evidence, or that stand beside a
# universal set that did not learn.

# %%
for (case, kind), rho in rhos.items():
    record.update(f"case.{case.key}.{kind}", {**difficulty_study.numbers(rho), "verdict": rho.verdict})
record.figure("all", difficulty_plots.all_cases(rhos))
# %%
pd.DataFrame(difficulty_study.overview(rhos)).set_index(["case", "measure"]).fillna("")

# %% [markdown]
# ## Verdict
#
# By the rules at the top of this page, case by case. One repetition, where there is only one, tells nothing about the
# spread between seeds.

# %%
record.number("verdict", rhos[main, measure].verdict)
record.number("verdict_rank", rhos[main, measure].by_rank().verdict)
for verdict in ("holds", "fails", "cannot be judged"):
    record.number(f"verdicts.{verdict.split()[0]}", sum(rho.verdict == verdict for rho in rhos.values()))
Markdown(
    "\n".join(
        f"- {case.words}, by {kind}: **{rho.verdict}**; ceiling {rho.ceiling:.2f}; {rho.reason}."
        for (case, kind), rho in rhos.items()
    )
    + f"\n\nOn {dataset} with the {model}, in the first case by {measure}, the decline with the set size **{rhos[main, measure].verdict}**. "
    + f"By rank correlation instead of $\\rho$ it **{rhos[main, measure].by_rank().verdict}**: "
    + f"{rhos[main, measure].by_rank().reason}."
)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | loss and distance of every presentation | `train`, `steps:measure` | `test_history_of_one_presentation`, `test_a_stack_learns_what_single_models_learn` |
# | difficulty, unstable models | `History.difficulty`, `History.unstable`, `summarise` | `test_difficulty_of_a_hand_made_history`, `test_unstable_models_are_counted_and_left_out` |
# | nested subsets, both readings of size | `nested_subsets`, `universal_set` | `test_nested_subsets_are_disjoint_nested_and_cover`, `test_both_readings_of_size` |
# | what a size learned | `sets:learned` | `test_unstable_models_are_counted_and_left_out`, `test_what_a_size_learned_is_the_mean_over_repetitions` |
# | $\rho$, its interval, the ceiling | `correlations`, `bootstrap_interval` | `test_a_planted_correlation_is_found_inside_its_interval`, `test_a_planted_decline_is_found_by_the_statistics` |
# | verdict | `Correlations` | `test_the_verdict_follows_its_rule` |
