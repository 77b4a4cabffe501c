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
# # Theorem 1
#
# **The paper's Theorem 1**, in the form in which it is publicly known: for a network whose last layer is linear of width $w$, the
# kernel approaches the eNTK in the Frobenius norm as $w$ grows. [Our page on it](../book/questions/theorem.md) proves more and
# less. For a pair with one label, $\kappa I_K$ approaches the $K \times K$ block $\Theta$ with a relative error of
# $O(w^{-1/2})$. For a pair with two labels it approaches $(1 - 4/K)\,\Theta$ instead. And the rate is a product:
# the *share* of the kernel that comes from below the last layer, over the square root of the *directions* over which that
# share averages. Here we measure all of it on networks of real inputs, and then what training does to it.
#
# Both parametrisations are measured on the same random functions: *NTK* (weights act as $W/\sqrt{d}$) and *standard* (weights act
# as they are). They differ only in how much each layer counts in the gradient. The blocks are exact, computed
# layer by layer. Each seed draws its own network and its own inputs; errors are root mean squares over pairs of
# different inputs, intervals are 95 % $t$ intervals over seeds.
#
# **The rules for the verdicts**, stated before the results:
#
# 1. *The rate* $O(w^{-1/2})$ **holds** if, for pairs of one label, the interval of the slope in log-log over all widths
#    ends at or below $-0.45$ in every setting.
# 2. *The exponents derived by us* ($-\frac12$; $-\frac32$ with one hidden layer in the standard parametrisation)
#    **are confirmed** if the interval of the slope over the wider half of the widths lies within 0.15 of them.
# 3. *The factor* $1 - 4/K$ **holds** if at the greatest width its interval lies within 0.02 of it, for every setting and every $K$.
# 4. *After training* a setting keeps the law, at the greatest trained width, if the error of pairs of one label at most doubled
#    and the factor is within 0.1 of $1 - 4/K$: both by their whole intervals. It loses the law if one interval lies wholly
#    on the other side, and is not decided otherwise. The law **survives** if every setting keeps it, **does not
#    survive** if every one loses it, **survives in part** if some keep and some lose it; else it **is not decided**. It
#    **cannot be judged** if at that width any network diverged or a setting's mean test accuracy is below 90 %.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
depths = [1, 2]  # hidden layers
widths = [32, 64, 128, 256, 512, 1024, 2048, 4096]
ks = [2, 3, 4, 5, 10]  # numbers of classes; the last is used where only one is shown
per_class = 2  # inputs of each class
seeds = 10
trained_widths = [32, 128, 512]
trained_seeds = 5
n = 1400  # training samples
epochs = [0, 1, 3, 10, 20]  # at which the trained networks are read
lr = {"ntk": 2.0, "standard": 0.02}
batch_size = 128
momentum = 0.9
seed = 0
device = "auto"  # where networks are trained
results = "../results/interactive/06-theorem"

# %%
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.phenomena.width import figures as width_plots
from lpntk.phenomena.width import rates as width_report
from lpntk.phenomena.width import study as width_study
from lpntk.phenomena.width import tables as width_tables
from lpntk.phenomena.width import training as width_training
from lpntk.phenomena.width import verdict as width_verdict
from lpntk.report import plots
from lpntk.report.results import Results

plots.use_style()
record = Results(results)
cache = Cache()  # what was measured before is not measured again

# %% [markdown]
# ## Networks at initialisation
#
# The error of $\kappa I_K$ against the block, relative to the norm of the block. Blue: lpNTK for pairs of one label. Green: the label-blind
# pNTK for the same pairs, which the theorem cannot tell from it. Vermilion: lpNTK for pairs of two labels, which stays at $4/K$.
# Orange: the same against $(1 - 4/K)\,\Theta$. The grey lines are no fit: they are the exact second moments of
# our page, with the two numbers they need estimated from an independent last layer.

# %%
samples = data.load(dataset)
k = max(ks)
frame = width_study.initial(
    samples, depths=depths, widths=widths, ks=ks, seeds=seeds, seed=seed, per_class=per_class, cache=cache
)
record.update("scale", {"seeds": seeds, "inputs": per_class * samples.k, "k": k, "width": max(widths)})
record.number("theta.min", frame["theta.min"].min())
record.figure("errors", width_plots.errors(frame, k))

# %% [markdown]
# The slopes of these lines, with 95 % intervals; *layers* are hidden layers. *Derived* is the exponent that our page derives for
# great widths, *formula* the slope of the grey line over the wider half (the two differ while the width is not yet far above the number
# of pixels), *error / predicted* the range over widths of the measured error against the grey lines.

# %%
rates = width_report.rates(frame, k)
for key, values in width_tables.rate_numbers(rates).items():
    record.update(key, values)
width_tables.rates(rates)

# %% [markdown]
# ## Why these exponents
#
# The error is the share $\tau$ of the kernel that comes from below the last layer, divided by $\sqrt r$, with $r$ the
# number of directions over which that share averages. The directions grow in proportion to the width everywhere. What differs is the
# share: with one hidden layer in the standard parametrisation it dies out like $1/w$, with two it does not,
# because the layer between the hidden ones grows with the width just as the last layer does.

# %%
for key, values in width_tables.share_numbers(frame, k).items():
    record.update(key, values)
record.figure("shares", width_plots.shares(frame, k))

# %% [markdown]
# ## The factor of two labels
#
# The kernel of a pair with two labels over what the mean diagonal of its block, $\theta = \operatorname{tr}\Theta/K$, would give a pair of one
# label: sums over pairs, mean and standard deviation over seeds. Nothing is fitted.

# %%
record.figure("factors", width_plots.factors(frame))
# %%
factors = width_report.factors(frame)
for key, values in width_tables.factor_numbers(factors).items():
    record.update(key, values)
width_tables.factors(factors)

# %% [markdown]
# ## What training does to it
#
# The theorem assumes that the entries of the last layer are independent and of one variance (A1), and that they know nothing of
# the features (A2). Training may break both. So every trained network is read twice: with its own last layer, and with a fresh
# one, with which A1 and A2 hold again. What is left of a larger error then comes from the trained features alone.

# %%
learned = width_training.trained(
    samples,
    depths=depths,
    widths=trained_widths,
    seeds=trained_seeds,
    seed=seed,
    n=n,
    lr=lr,
    epochs=epochs,
    per_class=per_class,
    cache=cache,
    device=device,
    batch_size=batch_size,
    momentum=momentum,
)
record.figure("trained", width_plots.trained(learned))

# %% [markdown]
# And the factor of pairs of two labels while the networks learn. Dotted: $1 - 4/K$. Below zero pairs of two labels would contradict each
# other on average.

# %%
record.figure("learning", width_plots.learning(learned))
# %%
aftermath = width_verdict.training(learned)
slopes = width_verdict.trained_slopes(learned)
for key, values in width_tables.training_numbers(aftermath, slopes).items():
    record.update(key, values)
record.number("training.diverged", sum(t.diverged for t in aftermath))
record.number("training.seeds", trained_seeds)
for (depth, parametrisation), fitted in slopes.items():
    print(f"{width_plots.words(depth, parametrisation)}: the error of pairs of one label falls with the slope {fitted}")
width_tables.training(aftermath)

# %% [markdown]
# ## Verdict

# %%
verdict = width_verdict.verdict(rates, factors, aftermath)
record.update("verdict", vars(verdict))
record.number("training_seconds", cache.seconds)
Markdown(width_tables.in_words(verdict, rates, factors, aftermath, seeds))

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | exact blocks $\Theta$, layer by layer | `layer_grams` | `test_layerwise_blocks_are_those_of_the_literal_jacobians` |
# | $\theta$, $\kappa$, pNTK, relative errors | `identity:read`, `Readings.error` | `test_readings_are_the_kernels_and_norms_by_their_definitions` |
# | exact second moments, the bound | `identity:Moments`, `bound` | by enumeration of all last layers: `test_second_moments_are_exact`, `test_the_bound_of_the_theorem_is_kept` |
# | factor $1 - 4/K$ | `factor` | $K = 2, \dots, 10$: `test_two_labels_keep_one_minus_four_over_k` |
# | slopes and intervals | `slopes:slope` | `test_a_planted_slope_is_recovered_and_its_interval_covers` |
# | networks at initialisation | `initial` | `test_the_study_reports_what_the_definitions_give` |
# | networks in training | `training:trained` | `test_training_starts_where_the_study_of_initialisation_measured` |
# | rates, factors, verdicts | `rates:rates`, `rates:factors`, `verdict:verdict`, `verdict:training` | `test_planted_rates_and_factors_are_found`, `test_the_verdicts_follow_their_rules`, `test_the_verdict_on_training` |
