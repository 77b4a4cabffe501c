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
# Everything in this book rests on one formula, the paper's equation 1 ([derivation](../book/questions/one-step.md)). A step of
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
# **The rules for the verdicts** at the end. The formula *holds to first order* if the mean slope of its error against the
# learning rate, on log axes and over the test samples that meet no kink of the network, lies within 0.1 of 2 at the first, the
# middle and the last epoch. What a substitute leaves
# away is *not needed* if, at every epoch, the mean cosine with the true change and the mean rank correlation over test samples
# both reach 0.9 of what the full error reaches; it is needed *in part* if both reach half of it; else it *is needed*.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet"
options = {}  # of the architecture
lr = 0.1  # of training, and of the step on a batch
batch_size = 128  # in training and of the step on a batch
checkpoints = [0, 1, 3, 10, 30, 60]  # epochs asked about; training ends at the last
single_lr = 0.01  # of the step on one sample
steps = 30  # of each kind, at each epoch of each seed
sweep_steps = 8  # single samples of each seed whose step is made with many learning rates
sweep_powers = [-6, 0]  # of ten: the learning rates of these steps
n_test = 500  # test samples whose predictions are followed
seeds = 3
seed = 0
device = "auto"
results = "../results/interactive/05-one-step"

# %%
from IPython.display import Markdown, display

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.one_step import figures as one_step_plots
from lpntk.phenomena.one_step import numbers as one_step_numbers
from lpntk.phenomena.one_step import summary as one_step_summary
from lpntk.phenomena.one_step.study import Kind, Study
from lpntk.report import plots
from lpntk.report.results import Results
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
kept = one_step_summary.learned(study, range(seed, seed + seeds))
kinds = [Kind("single", 1, single_lr), Kind("batch", min(batch_size, len(samples.y_train)), lr)]
followed = one_step_summary.follow(study, kept, kinds, steps)
record.update("scale", {"seeds": len(kept), "diverged": seeds - len(kept), "n_test": study.followed, "k": samples.k})
for moment, value in one_step_numbers.accuracies(study, kept).items():
    record.number(f"accuracy.{moment}", value)
for along in followed:
    for key, value in one_step_numbers.numbers(along):
        record.number(key, value)
Markdown(
    f"{len(kept)} of {seeds} networks learned, {seeds - len(kept)} diverged. Test accuracy, mean over seeds, at epochs "
    f"{', '.join(map(str, one_step_summary.moments(checkpoints).values()))}: "
    + ", ".join(record.text(f"accuracy.{m}", ".1%") for m in ("first", "middle", "last"))
    + f". Below, predictions on {study.followed} test samples of {samples.k} classes are followed."
)

# %% [markdown]
# ## Predicted against true
#
# Each point is the probability of one class for one test sample; each panel is the first step of the first seed. On
# the line, the prediction is right.

# %%
panels = one_step_numbers.scatters(study, kept[0], kinds)
record.figure("scatter", one_step_plots.predicted_and_true(panels, columns=3))

# %% [markdown]
# ## How the error falls with the learning rate
#
# If the formula is the first-order term, what it misses must fall with the square of the learning rate: a slope of 2 on log
# axes. One line is one single-sample step, its error the norm over classes of what was missed, averaged over test samples.
# The slope is fitted through the filled points: those where the error is less than a tenth of the true change (above,
# the step is not small) and more than a hundred rounding errors of float64.

# %%
swept = one_step_summary.sweep(study, kept, sweep_steps, sweep_powers)
for key, value in one_step_numbers.slope_numbers(swept):
    record.number(key, value)
record.figure("slope", one_step_plots.errors(swept))

# %% [markdown]
# The dashed line keeps the softmax exact and linearises the logits alone: $\operatorname{softmax}\big(z(x_o) + \eta\,\Theta\,
# (e - q)\big)$. Where it lies far below, most of what the formula misses is the bend of the softmax and not of the network.
# In float32, dotted, the low end is rounding.
#
# The square needs a smooth network, and ReLUs and max-poolings have kinks: where one switches for a test sample, its error jumps
# to a larger multiple of the square, and lines rise faster for a while ([theory](../book/questions/one-step.md)). So we also take the slopes
# between neighbouring learning rates over those samples alone for which nothing has switched up to there.

# %%
slopes = {"samples without a kink": "slope.smooth", "all samples": "slope.error"}
display(Markdown(f"Slopes, mean ± sd over {record.numbers['slope.steps']} steps:"))
display(table(one_step_numbers.at_moments(record.numbers, slopes, ".3f"), index="measured", formats={}))
display(Markdown("Share of the samples that have met a kink, among the fitted points:"))
display(table(one_step_numbers.at_moments(record.numbers, {"kink met": "kinked"}, ".0%"), index="measured", formats={}))

# %% [markdown]
# What the formula misses of the true change in the steps used below, in norm, mean ± sd over seeds and steps (in brackets the sd of
# the seeds' means):

# %%
missed = {
    f"{kind.words}, lr {kind.lr:g}, {words}": f"{kind.name}.{reading}"
    for kind in kinds
    for words, reading in (("equation 1", "relative"), ("softmax exact", "relative_logits"))
}
table(one_step_numbers.at_moments(record.numbers, missed, ".1%"), index="measured", formats={})

# %% [markdown]
# ## What the signs keep
#
# The same steps, told from less and less. *Direction*: the cosine between the predicted and the true change of all
# probabilities of all test samples, so that only the direction counts and no scale has to be chosen. *Order*: Spearman's
# correlation, over test samples, of the change of the log-likelihood of their label. Bars are one standard deviation over all
# seeds and steps.

# %%
record.figure("survival", one_step_plots.survival(followed))

# %%
for along in followed:
    count = record.numbers[f"{along.kind.name}.steps"]
    display(Markdown(f"Cosine, {along.kind.words}: mean ± sd over {count} steps (sd over seeds)"))
    display(table(one_step_numbers.rows(along, "cosine"), index="epoch", formats={}))

# %% [markdown]
# *Ones* is not nothing. $A\,\mathbf 1 = 0$, but the formula applies $A$ after $\Theta$: adding the same number to all
# entries of the error changes nothing only if $\Theta(x_o, x_u)\,\mathbf 1$ is a multiple of $\mathbf 1$, as in an infinitely wide
# network at initialisation, where $\Theta$ is a multiple of the identity. In a real one it is not quite, and $s(y)$, whose
# mean is not zero for $K > 2$, carries along a push that has nothing to do with its label. In a batch the parts of different
# labels cancel, while this one has the same sign for every sample. Its size, relative to the push of the centred signs,
# mean ± sd over seeds and steps (sd over seeds):

# %%
common = {kind.words: f"{kind.name}.common" for kind in kinds}
display(table(one_step_numbers.at_moments(record.numbers, common, ".2f"), index="measured", formats={}))
blind, signs = (record.numbers[f"batch.cosine.{force}.last"] for force in ("ones", "label"))
Markdown(
    f"For batches at the last epoch, *ones*, which knows no label, has a cosine of {blind:.2f} with the true change, and the "
    f"signs $s(y)$ have {signs:.2f}. "
    + (
        "So there the labels' signs foretell less than no label at all."
        if blind > signs
        else "So the labels' signs add to it."
    )
)

# %% [markdown]
# ## Verdicts

# %%
record.number("verdict.slope", swept.verdict)
Markdown(
    f"**Equation 1 {swept.verdict} to first order**: slopes "
    + ", ".join(
        f"{record.text(f'slope.smooth.{m}', '.3f')} ± {record.text(f'slope.smooth.{m}.sd', '.3f')}"
        for m in ("first", "middle", "last")
    )
    + f" where no kink is met, over {record.numbers['slope.steps']} steps at each epoch."
)

# %% [markdown]
# Is what is left away needed? The least share, over epochs, of what the full error tells that is kept by what remains:

# %%
table(one_step_numbers.verdicts(followed), index="step", formats={"direction kept": "{:.2f}", "order kept": "{:.2f}"})

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | $A\,\Theta\,(e-q)$ without blocks | `logit_velocity`, `softmax_velocity` | against explicit blocks: `test_forward_products_are_the_explicit_blocks` |
# | error vector and its substitutes | `forces` | `test_forces_by_hand` |
# | the true step | `sgd_step` | `test_the_formula_is_the_derivative_of_the_true_step`, `test_the_error_of_the_formula_is_of_second_order` |
# | cosine, rank correlation, error | `readings`, `readings:errors` | `test_readings_are_what_plain_formulas_give`, `test_errors_by_learning_rate` |
# | which samples meet a kink | `switches`, `local_slopes` | `test_switches_are_seen`, `test_a_planted_slope_is_found_through_the_fitted_points_alone` |
# | slopes, verdicts | `Sweep`, `Along` | `test_the_verdict_of_a_planted_order`, `test_the_verdict_looks_at_the_worst_epoch` |
