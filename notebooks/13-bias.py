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
# # Data-set bias
#
# A class can have several looks, and a data set can be full of one of them. Does pruning by clusters of the kernel spare the rare one
# ([theory](../book/questions/bias.md))? We plant a bias that we know. k-means cuts the training samples of each class into two modes, by their pixels, by their mean colour or by
# that of their frame (`by`); a test sample has the nearest mode of its class. Of a random mode of each class all samples can be drawn, of the other one only the share `rare`; the set is then cut to `n` at random.
#
# **What is kept.** All of the biased set; or a share of it: *random* by class, *heads* of clusters by lpNTK, *heads by the cosine* of the kernel, *heads by pixels*.
# Beside these an *oracle* that knows the modes, draws as many samples as all with replacement and lets the modes of a class weigh alike; and a *fair sample* of the whole
# training set, of as many samples.
#
# **Fair play.** The networks that score learn the biased set and are never judged. In every repeat the bias, the scoring networks and the judged network are drawn anew; modes and test
# images stay. Within a repeat all start from the same weights. All learn for as many *epochs*; smaller sets also for as many *steps* as all samples take (`by_steps`, on by default because it is cheap).
# The last epoch counts.
#
# **The rule for the verdict.** Measured are test accuracies: on all samples, on *rare* modes (mean over classes), and on the *worst* mode of a class among those with at least 20
# test samples. *Pruning by the kernel spares the rare look* **holds** at a share if heads by the kernel are better on rare modes than random samples by class, **fails** if they are worse, and
# **is undecided** otherwise (paired t tests over repeats at the level 0.05, corrected after Holm over shares and measures, equal epochs). *The kernel deserves the credit* is the same
# against heads by pixels. Shares are joined: a claim holds or fails if it does at all of them, holds in part if it holds at some, and is undecided otherwise.
# Neither **can be judged** with fewer than 5 repeats, if a network diverged, if the fair sample gives a test accuracy below `enough`, or if the bias does not hurt: if the
# fair sample is not better than the biased set on rare modes by more than 1 %. Then there is nothing to counter. With equal steps the same tests are told beside it and decide nothing.
# Below, *counters the bias* is the word for that: better than random pruning, not better than none.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [128]}  # of the architecture
by = "pixels"  # what modes are made of; on images with colours also "colour" or "background"
rare = 0.05  # of each rare mode that can be drawn
n = 500  # samples of the biased set
shares = [0.5, 0.2]  # of it that are kept
repeats = 5
scorers = 3  # networks behind every kernel
epochs = 30
by_steps = True  # whether smaller sets are learned for as many steps, too
enough = 0.9  # test accuracy of the fair sample below which nothing is judged
lr = 0.05
schedule = "constant"  # or "cosine", which spans all epochs of a training, however many
batch_size = 64
momentum = 0.9
weight_decay = 0.0005
augment = None  # or "crop-flip", for photographs
seed = 0
device = "auto"
results = "../results/interactive/13-bias"

# %%
RULE = {"level": 0.05, "repeats": 5, "test": enough, "hurts": 0.01, "least": 20}

# %%
import pandas as pd
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.bias import figures
from lpntk.phenomena.less_data.bias.modes import modes
from lpntk.phenomena.less_data.bias.study import study
from lpntk.phenomena.less_data.bias.verdict import MEASURES, against_biased, balance, costs, judge, versus
from lpntk.phenomena.less_data.selection.verdict import rivals
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import keyed, words

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## The modes
#
# The mean image of either mode of each class.

# %%
samples = data.load(dataset)
found = modes(samples, by=by, seed=seed)
record.figure("modes", figures.looks(samples, found[0]))

# %% [markdown]
# ## Bias, score, keep, train, test

# %%
frame = record.study(
    "bias",
    study,
    Network(model, samples.in_shape, samples.k, options),
    samples,
    found,
    n=n,
    rare=rare,
    shares=shares,
    repeats=repeats,
    scorers=scorers,
    epochs=epochs,
    seed=seed,
    cache=cache,
    by_steps=by_steps,
    least=RULE["least"],
    device=device,
    lr=lr,
    schedule=schedule,
    batch_size=batch_size,
    momentum=momentum,
    weight_decay=weight_decay,
    augment=augment,
)
record.update(
    "scale",
    {
        "n": n,
        "rare": rare,
        "repeats": repeats,
        "test": len(samples.y_test),
        "networks": len(frame),
        "training_seconds": cache.seconds,
    },
)

# %% [markdown]
# ## What is kept
#
# The share of rare modes among what is kept: this is how pruning could counter a bias. A dot is a repeat, a bar the mean.

# %%
record.figure("balance", figures.arms(frame, {"rare_kept": "rare modes among what is kept"}))

# %% [markdown]
# Mean over repeats with its 95 % interval:

# %%
kept = balance(frame, RULE)
record.frame("balance", kept)
percent = lambda table: table.assign(share=(100 * table["share"]).round().astype(int))
record.update("balance", keyed(percent(kept), "{arm}.{share}.{column}", ["mean", "low", "high"]))
table = kept.assign(arm=kept["arm"].map(figures.TITLES)).sort_values("share", ascending=False)
table.set_index(["share", "arm"]).rename(columns={"low": "from", "high": "to"}).style.format("{:.1%}").format_index(
    "{:.0%}", level=0
)

# %% [markdown]
# ## What is learned from it
#
# As many epochs. A dot is a repeat, a bar the mean.

# %%
PANELS = {"test": "all test samples", "rare": "rare modes", "worst": "worst mode of a class"}
record.figure("epochs", figures.arms(frame, PANELS))

# %% [markdown]
# What follows, if `by_steps` is on, is the same for as many steps.

# %%
if "steps" in set(frame["count"]):
    record.figure("steps", figures.arms(frame, PANELS, "steps"))

# %% [markdown]
# ## In numbers
#
# Test accuracy with equal epochs, mean ± standard deviation over repeats.

# %%
seen = frame[frame["count"] == "epochs"]
means = seen.groupby(["arm", "share"])[list(MEASURES)].mean().reset_index()
record.update("at", keyed(percent(means), "{arm}.{share}.{column}", list(MEASURES)))
table = words(seen.assign(arm=seen["arm"].map(figures.TITLES)), ["share", "arm"], list(MEASURES), "{:.1%}")
table.columns = list(PANELS.values())
table.sort_index(level="share", ascending=False, sort_remaining=False).rename(index="{:.0%}".format, level="share")

# %% [markdown]
# ## Verdict
#
# Heads by the kernel minus the other arm. The intervals are of 95 % and not corrected; p is corrected.

# %%
against = {(other, count): versus(frame, other, RULE, count)
           for count in frame["count"].unique() for other in ("balanced", "pixels")}  # fmt: skip
for (other, count), tests in against.items():
    record.frame(f"against-{other}-{count}", tests)
for other in ("balanced", "pixels"):
    told = percent(against[other, "epochs"])
    record.update("against", keyed(told, "{other}.{share}.{measure}.{column}", ["difference", "low", "high"]))
verdicts = {of: judge(frame, tests, RULE) for of, tests in against.items()}
counters, credit = verdicts["balanced", "epochs"], verdicts["pixels", "epochs"]
by_equal_steps = [verdicts[other, "steps"].word if by_steps else "was not asked" for other in ("balanced", "pixels")]
record.update("verdict", {"word": counters.word, "credit": credit.word, "steps": by_equal_steps[0],
                          "credit_steps": by_equal_steps[1], "cost": costs(frame).mean(), "hurts": RULE["hurts"],
                          "repeats": RULE["repeats"], "enough": RULE["test"], "least": RULE["least"]})  # fmt: skip
Markdown(
    f"The bias costs {record.text('verdict.cost', '.1%')} on rare modes.\n\n"
    f"*Pruning by the kernel counters the bias* **{counters}**: {counters.because}\n\n"
    f"*The kernel deserves the credit* **{credit}**: {credit.because}\n\n"
    f"With equal steps the first {by_equal_steps[0]} and the second {by_equal_steps[1]}."
)

# %% [markdown]
# No verdict: on rare modes each arm less all of the biased set, and what the fair sample is ahead of that, which the bias costs. Intervals are of 95 % and not corrected.

# %%
gained = percent(against_biased(frame, RULE))
record.frame("gains", gained)
record.update("gain", keyed(gained, "{arm}.{share}.{column}", ["difference", "low", "high"]))
told = gained.assign(arm=gained["arm"].map(figures.TITLES)).set_index(["share", "arm"])
told = told.sort_index(level="share", ascending=False, sort_remaining=False)
told.rename(columns={"low": "from", "high": "to"}).style.format("{:+.1%}").format_index("{} %", level=0)

# %% [markdown]
# Looked at afterwards: heads by the cosine of the kernel less heads by the kernel, not corrected.

# %%
lengths = percent(rivals(frame, "heads-cosine", ["heads"], RULE, values=["rare"]))
record.update("cosine_less_kernel", keyed(lengths, "{share}.{column}", ["difference", "low", "high"]))
lengths.set_index("share")[["difference", "low", "high"]].style.format("{:+.1%}")

# %% [markdown]
# The comparisons behind the verdict:

# %%
table = pd.concat([against["balanced", "epochs"], against["pixels", "epochs"]])
table = table.assign(other=table["other"].map(figures.TITLES), measure=table["measure"].map(PANELS))
table = table.rename(columns={"low": "from", "high": "to", "word": "heads are better"})
table = table.set_index(["other", "share", "measure"])
form = {"difference": "{:+.1%}", "from": "{:+.1%}", "to": "{:+.1%}", "p": "{:.2g}"}
table.style.format(form).format_index("{:.0%}", level="share")

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | modes | `bias.modes:modes`, `colour`, `background` | `test_planted_modes_are_found`, `test_modes_by_colour_see_colours_alone`, `test_background_is_the_frame` |
# | bias, reweighting | `biased`, `reweighted` | `test_the_bias_is_as_asked`, `test_the_oracle_lets_modes_weigh_alike` |
# | what each arm keeps | `picked` | `test_every_arm_keeps_what_it_says` |
# | predictions, accuracies | `bias.study:predictions`, `bias.study:accuracies` | `test_predictions_agree_with_a_plain_evaluation`, `test_accuracies_are_those_of_groups` |
# | comparisons, verdict | `versus`, `rivals`, `against_biased`, `bias.verdict:judge` | `test_gains_are_paired_differences_to_the_whole_biased_set`, `test_a_planted_gain_on_rare_modes_is_judged_by_the_rule`, `test_nothing_is_judged_where_nothing_can_be_countered` |
