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
# # One step
#
# Everything in this book rests on one formula, the first-order effect of a step, here called equation 1 ([derivation](../book/questions/one-step.md)). A step of
# gradient descent on a sample $(x_u, y_u)$ changes the prediction on another input $x_o$ by
#
# $$
# q'(x_o) - q(x_o) \;\approx\; \eta\; A(x_o)\; \Theta(x_o, x_u)\; \big(e_{y_u} - q(x_u)\big) .
# $$
#
# Two questions. **Does it hold**, and up to which learning rate? And the kernel keeps only the *signs* $s(y_u)$ of the
# error $e_{y_u} - q(x_u)$: **does its magnitude matter?** The paper's reviewers asked this, and it can be measured. We predict
# with the full error and with less and less of it, make the true step, and compare.
#
# | what the step is predicted with | keeps |
# |---|---|
# | *error*, $e_y - q$ | everything |
# | *even*, $(1-q_y)\big(e_y - \frac{1}{K-1}(\mathbf 1 - e_y)\big)$ | how wrong the sample is, not which wrong classes it believes in |
# | *centred*, $s(y)$ minus its mean | the signs: every sample counts alike |
# | *label*, $s(y)$ | the signs, as in lpNTK |
# | *ones*, $\mathbf 1$ | nothing: not even the label |
#
# Two kinds of steps, both plain SGD in float64: on a *single* random training sample, as in the formula, and on a random
# *batch*, where the formula is averaged over the batch. For one sample *even* is a multiple of *centred*.
#
# **The rules for the verdicts** at the end. That the formula holds *to first order*: the mean slope of its error against the
# learning rate, on log axes and over the test samples that meet no kink of the network, is `order` up to `tolerance` at the
# first, the middle and the last epoch. The slope is fitted where the error is less than `small` times the true change (above, the step
# is not small) and more than `roundings` rounding errors of float64. That what a substitute leaves
# away *is needed*: this **fails** if, at every epoch, the mean cosine with the true change and the mean rank correlation over test samples
# both reach `kept` of what the full error reaches, it **holds in part** if both reach `part` of it, and it **holds** else.
#
# And a third question: **does the label's sign help?** The signs of lpNTK against *ones*, the label-blind pNTK: the difference of
# their cosines with the true change, at every epoch for single samples and for random batches of every size. The labels *help* where its
# interval over networks lies above 0, *hurt* where it lies below; the intervals together have an error of `level`. That labels help
# **holds** if they do at every size and epoch, **fails** if they hurt at every one, **holds in part** if they help at some, and is
# undecided otherwise. Why they may not: in a batch few samples may make the step, and signs weigh all alike. Two tests at the last epoch, paired by
# network. *In the same batches*, *even*, which adds how wrong each sample is and nothing else, has a larger cosine than the centred signs. And the centred signs have a larger cosine with
# batches whose samples are *equally wrong*, as many of each class, than with random ones. Each **holds** if the interval of the difference lies above 0, **fails** if below, and is undecided otherwise.

# %%
RULE = {"order": 2, "tolerance": 0.1, "small": 0.1, "roundings": 100, "kept": 0.9, "part": 0.5, "level": 0.05}

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet"
options = {}  # of the architecture
lr = 0.1  # of training, and of the step on a batch
batch_size = 128  # in training and of the step on a batch
checkpoints = [0, 1, 3, 10, 30, 60]  # epochs asked about; training ends at the last
single_lr = 0.01  # of the step on one sample
sizes = [4, 32]  # of further batches, for the question whether labels help
steps = 30  # of each kind, at each epoch of each seed
sweep_steps = 8  # single samples of each seed whose step is made with many learning rates
sweep_powers = [-6, 0]  # of ten: the learning rates of these steps
n_test = 500  # test samples whose predictions are followed
seeds = 3
seed = 0
device = "auto"
results = "../results/interactive/05-one-step"

# %%
import pandas as pd
from IPython.display import Markdown, display

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.one_step import figures, labels, verdicts
from lpntk.phenomena.one_step.study import Kind, Study, follow, moments, shown, sweep
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import keyed, over_seeds, words, words_and_seeds
from lpntk.report.tables import table

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained and measured before is not done again

# %% [markdown]
# ## Networks along their training
#
# Every seed trains a network by plain SGD, without momentum or weight decay: a step on a batch is then a step that training
# could make next. Each network is kept at some epochs and asked about the same steps at each. The error $e_y - q$ shrinks as
# training goes on, which is why its size could matter more and more.

# %%
samples = data.load(dataset)
training = {"epochs": checkpoints[-1], "lr": lr, "batch_size": batch_size, "checkpoints": checkpoints}
network = Network(model, samples.in_shape, samples.k, options)
study = Study(network, samples, n_test, cache, device, training)
learned = study.learned(range(seed, seed + seeds))
kinds = [Kind("single", 1, single_lr), Kind("batch", min(batch_size, len(samples.y_train)), lr)]
epochs = moments(checkpoints)  # the first, the middle and the last
accuracy = {m: sum(float(study.states(s)[f"{e}/accuracy"]) for s in learned) / len(learned) for m, e in epochs.items()}
followed = min(n_test, len(samples.y_test))
record.update("scale", {"seeds": len(learned), "n_test": followed})
record.number("accuracy.last", accuracy["last"])
Markdown(
    f"{len(learned)} of {seeds} networks learned, {seeds - len(learned)} diverged. Test accuracy, mean over seeds, at epochs "
    f"{', '.join(map(str, epochs.values()))}: {', '.join(f'{value:.1%}' for value in accuracy.values())}. "
    f"Below, predictions on {followed} test samples of {samples.k} classes are followed."
)

# %% [markdown]
# ## Predicted against true
#
# Each point is the probability of one class for one test sample; each panel is the first step of the first seed. On
# the line, the prediction is right.

# %%
panels = [(f"{kind.words}, epoch {e}", *shown(study, learned[0], e, kind)) for kind in kinds for e in epochs.values()]
record.figure("scatter", figures.predicted_and_true(panels, columns=3))

# %% [markdown]
# ## How the error falls with the learning rate
#
# If the formula is the first-order term, what it misses must fall with the square of the learning rate: a slope of 2 on log
# axes. One line is one single-sample step, its error the norm over classes of what was missed, averaged over test samples.
# The slope is fitted through the filled points.

# %%
swept = sweep(study, learned, sweep_steps, sweep_powers)
fitted = verdicts.small(swept, RULE)
record.frame("sweep", swept.assign(fitted=fitted))
record.figure("slope", figures.errors(swept, fitted))

# %% [markdown]
# The dashed line keeps the softmax exact and linearises the logits alone: $\operatorname{softmax}\big(z(x_o) + \eta\,\Theta\,
# (e - q)\big)$. Where it lies far below, most of what the formula misses is the bend of the softmax and not of the network.
# In float32, dotted, the low end is rounding.
#
# The square needs a smooth network, and ReLUs and max-poolings have kinks: where one switches for a test sample, its error jumps
# to a larger multiple of the square, and lines rise faster for a while ([theory](../book/questions/one-step.md)). So we also take the slopes
# between neighbouring learning rates over those samples alone for which nothing has switched up to there.

# %%
slopes = verdicts.slopes(swept, fitted)
record.frame("slopes", slopes)
mean, sd = over_seeds(slopes, ["moment"], ["smooth", "error", "rms"])
record.update("slope", {"steps": len(learned) * sweep_steps, **keyed(mean, "{column}.{moment}", mean.columns)})
record.update("slope", keyed(sd, "{column}.{moment}.sd", sd.columns))
kinked = swept[fitted].groupby("moment", sort=False)["kinked"].mean()
record.number("kinked.last", kinked["last"])
display(Markdown(f"Slopes, mean ± sd over {len(learned) * sweep_steps} steps:"))
named = {"smooth": "samples without a kink", "error": "all samples", "rms": "all samples, root mean square"}
display(words(slopes, ["moment"], list(named), "{:.3f}").rename(columns=named))
shares = ", ".join(f"{share:.0%} ({moment} epoch)" for moment, share in kinked.items())
Markdown(f"Share of the samples that have met a kink, among the fitted points: {shares}.")

# %% [markdown]
# What the formula misses of the true change in the steps used below, in norm, mean ± sd over seeds and steps (in brackets the sd of
# the seeds' means). `relative` is equation 1, `relative_logits` the same with the softmax exact.

# %%
steps_made = follow(study, learned, kinds, steps)
record.frame("steps", steps_made)
at = pd.concat(steps_made[steps_made["epoch"] == epoch].assign(moment=moment) for moment, epoch in epochs.items())
mean, _ = over_seeds(at, ["kind", "moment"], ["relative", "relative_logits"])
for key, value in keyed(mean, "{kind}.{column}.{moment}", mean.columns).items():
    record.number(key, value)
words_and_seeds(at, ["kind", "moment"], ["relative", "relative_logits"], "{:.1%}")

# %% [markdown]
# ## What the signs keep
#
# The same steps, told from less and less. *Direction*: the cosine between the predicted and the true change of all
# probabilities of all test samples, so that only the direction counts and no scale has to be chosen. *Order*: Spearman's
# correlation, over test samples, of the change of the log-likelihood of their label. Bars are one standard deviation over all
# seeds and steps.

# %%
record.figure("survival", figures.survival(steps_made, kinds))

# %%
ends = at[at["moment"] != "middle"]
for kind in kinds:
    rows = steps_made[steps_made["kind"] == kind.name]
    cosines = [f"cosine.{force}" for force in kind.forces]
    count = len(learned) * steps
    record.number(f"{kind.name}.steps", count)
    mean, sd = over_seeds(ends[ends["kind"] == kind.name], ["moment"], ["vectors", "common", *cosines])
    record.update(kind.name, keyed(mean, "{column}.{moment}", mean.columns))
    record.update(kind.name, keyed(sd, "{column}.{moment}.sd", cosines))
    display(Markdown(f"Cosine, {kind.words}: mean ± sd over {count} steps (sd of the seeds' means)"))
    size = rows.groupby("epoch")["size"].mean().map("{:.2g}".format).to_frame("mean error")
    told = words_and_seeds(rows, ["epoch"], cosines, "{:.2f}")
    display(size.join(told.set_axis(kind.forces, axis=1)))

# %% [markdown]
# *Ones* is not nothing. $A\,\mathbf 1 = 0$, but the formula applies $A$ after $\Theta$: adding the same number to all
# entries of the error changes nothing only if $\Theta(x_o, x_u)\,\mathbf 1$ is a multiple of $\mathbf 1$, as in an infinitely wide
# network at initialisation, where $\Theta$ is a multiple of the identity. In a real one it is not quite, and $s(y)$, whose
# mean is not zero for $K > 2$, carries along a push that has nothing to do with its label. In a batch the parts of different
# labels cancel, while this one has the same sign for every sample. Its size, relative to the push of the centred signs,
# mean ± sd over seeds and steps (sd of the seeds' means):

# %%
display(words_and_seeds(at, ["kind", "moment"], ["common"], "{:.2f}"))
blind, signs = (record.numbers[f"batch.cosine.{force}.last"] for force in ("ones", "label"))
Markdown(
    f"For batches at the last epoch, *ones*, which knows no label, has a cosine of {blind:.2f} with the true change, and the "
    f"signs $s(y)$ have {signs:.2f}. Whether labels add anything is asked next."
)

# %% [markdown]
# ## When does the label's sign help?
#
# Left: what the signs tell more than ones, for single samples and batches of several sizes; bars are the intervals of the rule. Right: every batch
# of the largest size, at all epochs. The share of its samples that makes a step is $(\sum w)^2 / (n \sum w^2)$ with $w = 1 - q_y$. If the pushes of all samples had one length and stood at
# right angles, the signs would lie on the line.

# %%
single, batch = kinds
asked = [single, *(Kind(f"batch-{size}", size, lr) for size in sizes if 1 < size < batch.size), batch]
alike = Kind("alike", batch.size, lr, alike=True)
further = follow(study, learned, [*asked[1:-1], alike], steps)
labelled = pd.concat([steps_made, further], ignore_index=True)
record.frame("labels", further)
gained = labels.gains(labelled, asked, RULE)
record.figure("labels", figures.labels(gained, labelled, batch, alike))

# %%
ends_of = gained[gained["epoch"].isin([checkpoints[0], checkpoints[-1]])]
ends_of = ends_of.assign(moment=ends_of["epoch"].map({checkpoints[0]: "first", checkpoints[-1]: "last"}))
record.update("gain", keyed(ends_of, "{kind}.{moment}.{column}", ["gain", "low", "high"]))
table(
    gained.assign(step=[next(kind.words for kind in asked if kind.name == name) for name in gained["kind"]],
                  labels=gained["word"].map(labels.WORDS))[["step", "epoch", "gain", "low", "high", "labels"]],
    index="step", formats=dict.fromkeys(["gain", "low", "high"], "{:+.2f}"),
)  # fmt: skip

# %%
along = labels.concentration(labelled, batch)
sized, with_sizes = labels.paired(labelled, (batch, "even"), (batch, "centred"), RULE)
even, equalised = labels.paired(labelled, (alike, "centred"), (batch, "centred"), RULE)
at_last = labelled[labelled["epoch"] == checkpoints[-1]].groupby("kind")["active"].mean()
record.update("concentrated", {"rho": along.mean(), "rho_sd": along.std(), "active": at_last[batch.name],
                               "active_alike": at_last[alike.name]})  # fmt: skip
record.update("sized", with_sizes)
record.update("equalised", equalised)
Markdown(
    f"At the last epoch {at_last[batch.name]:.0%} of a random batch makes the step, and {at_last[alike.name]:.0%} of one whose samples are equally wrong. In the same random batches sizes added to the centred signs "
    f"give {sized.because}; in equally wrong batches the centred signs have {even.because}. Among random batches the cosine of the centred signs follows the share with a rank correlation of "
    f"{along.mean():.2f} ± {along.std():.2f} (mean ± sd over networks)."
)

# %% [markdown]
# ## Verdicts

# %%
helped = labels.verdict(gained)
record.update(
    "verdict", {"labels": helped.word, "labels_because": helped.because, "sized": sized.word, "equalised": even.word}
)
Markdown(
    f"*The label's sign helps* **{helped}**: {helped.because}.\n\n*In the same batches, sizes tell more* **{sized}**: {sized.because}.\n\n"
    f"*Equally wrong batches are told better by signs* **{even}**: {even.because}."
)

# %%
order = verdicts.order(slopes, RULE)
record.number("verdict.slope", order.word)
Markdown(
    f"**Equation 1 {order} to first order**: slopes {order.because} where no kink is met, over {len(learned) * sweep_steps} "
    "steps at each epoch."
)

# %% [markdown]
# Is what is left away needed? The least share, over epochs, of what the full error tells that is kept by what remains: of the
# direction (`cosine`) and of the order (`rank`).

# %%
kept = verdicts.kept(steps_made, kinds)
kept["needed"] = verdicts.needed(kept, RULE)
label = keyed(kept[kept["force"] == "label"], "{kind}.kept.{force}.{column}", ["cosine"])
for key, value in {**keyed(kept, "{kind}.{column}.{force}", ["needed"]), **label}.items():
    record.number(key, value)
table(kept.to_dict("records"), index="kind", formats={"cosine": "{:.2f}", "rank": "{:.2f}"})

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | $A\,\Theta\,(e-q)$ without blocks | `logit_velocity`, `softmax_velocity` | against explicit blocks: `test_forward_products_are_the_explicit_blocks` |
# | error vector and its substitutes | `forces` | `test_forces_by_hand` |
# | the true step | `sgd_step` | `test_the_formula_is_the_derivative_of_the_true_step`, `test_the_error_of_the_formula_is_of_second_order` |
# | cosine, rank correlation, error | `one_step.readings:readings`, `one_step.readings:errors` | `test_readings_are_what_plain_formulas_give`, `test_errors_by_learning_rate` |
# | which samples meet a kink | `switches`, `local_slopes` | `test_switches_are_seen`, `test_a_slope_without_kinks_needs_samples` |
# | steps along training | `one_step.study:follow`, `one_step.study:sweep` | `test_the_study_follows_the_same_steps_along_training`, `test_the_error_of_a_real_network_is_of_second_order` |
# | what labels add, and why | `labels:gains`, `labels:paired`, `labels:concentration` | `test_planted_gains_are_judged_by_the_rule`, `test_equally_wrong_samples_are_near_in_rank_and_of_all_classes`, `test_cosines_are_compared_network_by_network` |
# | slopes, verdicts | `one_step.verdicts:slopes`, `one_step.verdicts:order`, `one_step.verdicts:kept`, `one_step.verdicts:needed` | `test_a_slope_is_fitted_where_the_step_is_small_and_the_error_no_rounding`, `test_the_verdict_of_a_planted_order`, `test_the_verdict_looks_at_the_worst_epoch` |
