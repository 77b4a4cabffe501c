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
# different inputs, intervals are $t$ intervals over seeds.
#
# **The rules for the verdicts**, stated before the results. An interval *holds* if it lies within the limits as a whole, *fails* if it lies
# outside as a whole, and is *undecided* otherwise. Over settings, a claim **holds** or **fails** if it does so in all of
# them, **holds in part** if it holds in some, and **is undecided** else.
#
# 1. *The rate* $O(w^{-1/2})$: for pairs of one label, the slope in log-log over all widths is at most `slowest`.
# 2. *The exponents derived by us* ($-\frac12$; $-\frac32$ with one hidden layer in the standard parametrisation): the
#    slope over the wider half of the widths is the derived one up to `exponent`.
# 3. *The factor* $1 - 4/K$: at the greatest width it is met up to `factor`, for every setting and every $K$.
# 4. *After training*, at the greatest trained width: the error of pairs of one label grew at most to its `growth`-fold and the
#    factor is $1 - 4/K$ up to `trained`. A setting fails if one of the two does, and holds if both do. All of it **cannot
#    be judged** if at that width any network diverged or a setting's mean test accuracy is below `learned`.

# %%
RULE = {
    "level": 0.95,  # of every interval
    "slowest": -0.45,
    "exponent": 0.15,
    "factor": 0.02,
    "growth": 2.0,
    "trained": 0.1,
    "learned": 0.9,
}

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
from lpntk.phenomena.width import figures, rates, study, tables, training, verdicts
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import estimate, keyed

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
initial = study.initial(
    samples, depths=depths, widths=widths, ks=ks, seeds=seeds, seed=seed, per_class=per_class, cache=cache
)
record.frame("initial", initial)
record.update("scale", {"seeds": seeds, "k": k, "width": max(widths)})
record.number("theta.min", initial["theta.min"].min())
record.figure("errors", figures.errors(initial, k))

# %% [markdown]
# The slopes of these lines, with intervals; *layers* are hidden layers. *Derived* is the exponent that our page derives for
# great widths, *formula* the slope of the grey line over the wider half (the two differ while the width is not yet far above the number
# of pixels), *error / predicted* the range over widths of the measured error against the grey lines.

# %%
fits = rates.rates(initial, k, RULE["level"])
record.frame("rates", fits)
shown = ["value", "low", "high", "wide.value", "wide.low", "wide.high"]
record.update("slope", keyed(fits[fits["quantity"] == "same.raw"], "{setting}.same-raw.{column}", shown))
tables.rates(fits)

# %% [markdown]
# ## Why these exponents
#
# The error is the share $\tau$ of the kernel that comes from below the last layer, divided by $\sqrt r$, with $r$ the
# number of directions over which that share averages. The directions grow in proportion to the width everywhere. What differs is the
# share: with one hidden layer in the standard parametrisation it dies out like $1/w$, with two it does not,
# because the layer between the hidden ones grows with the width just as the last layer does.

# %%
record.figure("shares", figures.shares(initial, k))

# %% [markdown]
# ## The factor of two labels
#
# The kernel of a pair with two labels over what the mean diagonal of its block, $\theta = \operatorname{tr}\Theta/K$, would give a pair of one
# label: sums over pairs, mean and standard deviation over seeds. Nothing is fitted.

# %%
record.figure("factors", figures.factors(initial))
# %%
factors = rates.factors(initial, RULE["level"])
record.frame("factors", factors)
worst, inside = verdicts.deviation(factors)
shown = keyed(factors[factors["k"] == k], "{setting}.{k}.{column}", ["mean", "low", "high"])
record.update("factor", {"worst": worst, "inside": inside, "cases": len(factors), **shown})
tables.factors(factors)

# %% [markdown]
# ## What training does to it
#
# The theorem assumes that the entries of the last layer are independent and of one variance (A1), and that they know nothing of
# the features (A2). Training may break both. So every trained network is read twice: with its own last layer, and with a fresh
# one, with which A1 and A2 hold again. What is left of a larger error then comes from the trained features alone.

# %%
learned = training.trained(
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
record.frame("trained", learned)
record.figure("trained", figures.trained(learned))

# %% [markdown]
# And the factor of pairs of two labels while the networks learn. Dotted: $1 - 4/K$. Below zero pairs of two labels would contradict each
# other on average.

# %%
record.figure("learning", figures.learning(learned))
# %%
after = rates.aftermath(learned, RULE["level"])
record.frame("aftermath", after)
wide = after[after["width"] == after["width"].max()]
shown = [
    "test",
    "before",
    "after",
    "growth",
    "growth_low",
    "growth_high",
    "features",
    "factor",
    "factor_low",
    "factor_high",
]
record.update("trained", {"width": max(trained_widths), **keyed(wide, "{setting}.wide.{column}", shown)})
record.update("training", {"diverged": int(after["diverged"].sum()), "seeds": trained_seeds})
slopes = rates.trained_slopes(learned, RULE["level"])
record.update("trained", keyed(slopes, "{setting}.{column}", ["slope"]))
for row in slopes.itertuples():
    fitted = estimate(row.slope, row.slope_low, row.slope_high)
    print(f"{rates.words(row.setting)}: the error of pairs of one label falls with the slope {fitted}")
tables.training(after, RULE)

# %% [markdown]
# ## Verdict

# %%
rate, exponents = verdicts.rate(fits, RULE), verdicts.exponents(fits, RULE)
law, aftermath = verdicts.law(factors, RULE), verdicts.training(after, RULE)
record.update("verdict", {"rate": rate.word, "exponents": exponents.word})
Markdown(f"""
1. The rate $O(w^{{-1/2}})$ **{rate}** for pairs of one label ({seeds} seeds). Slopes over all widths: {rate.because}.
2. That the exponents are those derived by us **{exponents}**. Slopes over the wider half: {exponents.because}.
3. The factor $1 - 4/K$ **{law}** at width {max(widths)}: {law.because}.
4. After training, at width {max(trained_widths)} ({trained_seeds} networks each), the law **{aftermath}**: {aftermath.because}.
""")

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | exact blocks $\Theta$, layer by layer | `layer_grams` | `test_layerwise_blocks_are_those_of_the_literal_jacobians` |
# | $\theta$, $\kappa$, pNTK, relative errors | `identity:read`, `Readings.error` | `test_readings_are_the_kernels_and_norms_by_their_definitions` |
# | exact second moments, the bound | `identity:Moments` | by enumeration of all last layers: `test_second_moments_are_exact`, `test_the_bound_of_the_theorem_is_kept` |
# | factor $1 - 4/K$ | `factor` | $K = 2, \dots, 10$: `test_two_labels_keep_one_minus_four_over_k` |
# | slopes and intervals | `slopes:slope` | `test_a_planted_slope_is_recovered_and_its_interval_covers` |
# | networks at initialisation | `initial` | `test_the_study_reports_what_the_definitions_give` |
# | networks in training | `training:trained` | `test_training_starts_where_the_study_of_initialisation_measured` |
# | rates, factors, what training did | `width.rates:rates`, `width.rates:factors`, `aftermath` | `test_planted_rates_are_found`, `test_planted_factors_are_found`, `test_planted_slopes_after_training_are_found` |
# | verdicts | `width.verdicts:rate`, `width.verdicts:law`, `width.verdicts:training` | `test_the_verdicts_follow_their_rules`, `test_the_verdict_on_training` |
