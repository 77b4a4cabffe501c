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
# # Forgetting
#
# A sample that was predicted correctly before an update and is wrong after it is *forgotten* by this update: a **forgetting
# event** (Toneva et al., ICLR 2019). If the kernel tells how one sample moves another, it should tell which samples the next
# update is about to make forgotten. The paper predicts, for the samples of the previous batch, what the update on the current
# batch does to them. This page repeats that and asks how good the prediction is, against which baseline, and what it misses
# ([theory](../book/questions/forgetting.md)).
#
# **Who predicts.** All predictors see the network before the update.
#
# | | uses | free of fitting |
# |---|---|---|
# | *kernel, on probabilities* | the paper's first-order expression: error of the batch, blocks of the kernel, softmax expanded | yes |
# | *kernel, on logits* | the same, the softmax taken exactly | yes |
# | *kernel + weight decay*, *kernel + momentum* | one more term of the step that SGD makes | yes |
# | *true step* | the change of the weights as it was: what any expansion to first order in the weights can be told | yes |
# | *lpNTK signs* and *centred* | the signs of the error in place of the error, or the signs less their mean; scale fitted | one number |
# | *lpNTK, scalar* and *centred* | the mean of $\kappa$ between sample and batch against the sample's margin; scale fitted | one number |
# | *margin alone* | the lead of the label's logit; nothing of the batch; threshold fitted | one number |
# | *random* | the base rate of the run; mean of 10 draws a run | |
#
# A fitted number is fitted to all earlier steps of its run, anew every ten steps, for the largest F1. *F1 in hindsight* is
# what the best constant threshold, known only afterwards, would have given. Until the first of these fits that has an event to
# fit to, nothing can be predicted that way. This is the *burn-in* of the run, at least ten steps and often those with most
# events. **All predictors, fitted or not, are judged on the steps after it**; the events it holds are told beside the others.
#
# **How they are judged.** Events are rare, so accuracy would say nothing. Precision, recall and F1 come from counts
# pooled over the steps of a run. A run without events has no recall and no F1: they are *undefined* and left out, and
# the number of runs that remain is told.
#
# **The rule for the verdict**, its numbers in the cell below. At each setting of the real update, the paper's predictor is
# *better* than the fitted margin if its F1 is higher in at least the `share` of the runs that have events after the burn-in,
# and a two-sided Wilcoxon signed-rank test over these runs has $p$ below the `level`; it is *worse* if the same holds the other
# way round; otherwise *undecided*. The level is that of one setting and is not corrected for their number. With fewer such `runs`
# (five could not reach the level) or such `events` nothing can be judged. *The kernel predicts forgetting better than the margin*
# **holds** if, with the whole recipe that networks are trained with (momentum, weight decay, dropout), it is better at every
# learning rate that can be judged; it holds **in part** if at some; it **fails** if it is worse at every one; otherwise it **is
# undecided**. That is a comparison, not praise: how many of the events it finds stands beside it. A part of the recipe *costs* the
# prediction something if, in a training with that part alone, the true step is better than the kernel by the same rule.

# %%
RULE = {"share": 0.9, "level": 0.05, "runs": 6, "events": 30}

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [64]}  # of the architecture
n = 768  # training samples
followed = 768  # of these, followed through every update
lrs = [0.001, 0.01, 0.1]  # the first is that of the authors' code
ablation_lr = 0.01  # one of them
momentum = 0.9
weight_decay = 0.0005
dropout = 0.5  # after each hidden linear layer of a network that brings none
batch_size = 64
steps = 240  # updates of a run
early = 50  # of them, judged once more by themselves: as many as the authors track on MNIST
seeds = 10  # runs per setting: initialisation and order
width = 10  # runs that are trained as one stack
seed = 0
device = "auto"
results = "../results/interactive/08-forgetting"

# %%
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.forgetting import figures, forgotten, tables
from lpntk.phenomena.forgetting.compare import compare, verdict
from lpntk.phenomena.forgetting.events import follow
from lpntk.phenomena.forgetting.judge import beginning, judge
from lpntk.phenomena.forgetting.study import by_part, by_rate, study
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.tables import table

plots.use_style()
record = Results(results)
cache = Cache()  # what was trained before is not trained again

# %% [markdown]
# ## The trainings
#
# Plain SGD and the whole recipe at each learning rate, and at one of them each part of the recipe alone. All settings share
# their initialisations and the order of their batches.

# %%
samples = data.load(dataset)
rows = samples.sample(n, seed)
x, y = samples.x_train[rows], samples.y_train[rows]
network = Network(model, samples.in_shape, samples.k, options)
recipe = {"momentum": momentum, "weight_decay": weight_decay, "dropout": dropout > 0}
rates, parts = by_rate(lrs, **recipe), by_part(ablation_lr, **recipe)
wholes, plains = ([s for s in rates if s.recipe == recipe] for recipe in ("all", "plain"))
plain, whole = parts[0], parts[-1]
tracks = study(
    network,
    x,
    y,
    [*rates, *parts],
    seeds=seeds,
    seed=seed,
    steps=steps,
    batch_size=batch_size,
    followed=followed,
    dropout=dropout,
    width=width,
    cache=cache,
    device=device,
)
record.update("scale", {"n": n, "seeds": seeds, "steps": steps, "ablation_lr": ablation_lr, "seconds": cache.seconds})

# %% [markdown]
# ## What is forgotten
#
# Every one of the samples followed is looked at after every update. Left: how many are correct. Right: how many are forgotten
# by an update. Means over runs; a run that diverged is in no figure and in no mean on this page.

# %%
record.figure("history", forgotten.history({s: tracks[s] for s in rates}))
# %%
learned = forgotten.learned(tracks)
for setting in wholes:
    (end,) = learned.loc[learned["setting"] == setting.words, "correct at the end"]
    record.number(f"count.rate.{setting.key}.correct_at_the_end", end)
shares = ("correct at the end", "never learned", "forgotten at least once", "learned, never forgotten")
table(learned, index="setting", formats=dict.fromkeys(shares, "{:.1%}") | {"events per sample": "{:.2f}"})

# %% [markdown]
# Toneva et al. look at a sample only when it is presented. Between two presentations many updates pass, and a sample that is
# lost and found again in between goes unnoticed. Both counts, for the whole recipe at the learning rate of the ablation:

# %%
found = forgotten.both_counts(tracks[whole])
often, seen = (int(found[way].sum()) for way in ("after every update", "at presentations"))
record.update("presentations", {"seen": seen / max(1, often), "events": often})
record.figure("counts", forgotten.counts(found))

# %% [markdown]
# The samples most often forgotten, and those that are learned first and kept by every run:

# %%
histories = follow(tracks[whole].finished().correct)
record.figure("gallery", forgotten.gallery(samples, x[:followed], y[:followed], histories))

# %% [markdown]
# ## What is foreseen
#
# From here on: the samples of the previous batch, the update on the current one. An event is *predicted* if a sample is correct
# before the update and the predicted output after it is not. F1 as mean and standard deviation over the runs that have
# events after the burn-in; the last three columns compare the paper's predictor (*kernel, on probabilities*) with the fitted margin by the rule
# above; with the margin given its best threshold in hindsight, an advantage that the kernel has not; and by average
# precision (AP), where neither needs a threshold.

# %%
judged = judge(tracks, seed=seed)
compared = compare(judged, RULE)
record.frame("judged", judged)
table(tables.overview(judged, compared), index="setting", formats={})

# %%
record.figure("predictors", figures.predictors(tables.of(judged, *rates)))

# %% [markdown]
# Each dot is a run, each bar the mean of its row.
#
# ## Without a threshold
#
# A threshold hides how well a score sorts. Precision against recall over all thresholds, all runs together, on the same steps:

# %%
pair = {setting: tracks[setting] for setting in (plain, whole)}
shown = ("kernel", "momentum", "step", "signs", "signs-centred", "margin")
record.figure("curves", figures.curves(pair, judged, shown))

# %% [markdown]
# All measures of all predictors, plain SGD first, then the whole recipe:

# %%
table(tables.predictors(tables.of(judged, plain)), index="predictor", formats={})
# %%
table(tables.predictors(tables.of(judged, whole)), index="predictor", formats={})

# %% [markdown]
# ## Events need a small margin
#
# A sample is forgotten when its margin is not larger than what the update takes from it. On or above the diagonal the kernel predicts an
# event. The margin is known to every predictor; the loss of margin is what they get right or wrong. The better the kernel knows
# the update, the more the forgotten samples are those above the line. Of the samples that were kept only a part is drawn.

# %%
record.figure("margins", figures.margins(pair))

# %% [markdown]
# ## What each part of the real update costs
#
# The paper's predictor expands the step $-\eta g$ on the current batch. SGD with momentum $\mu$ and weight decay $\lambda$ makes the step
# $-\eta\,(g + \lambda w + \mu v)$, and with dropout $g$ itself is another gradient. In each training below one part is added to plain SGD. The
# *correlation* is that of the predicted and the true change of the margin over all samples at risk; the *size* is the kernel's
# median change over the true one.

# %%
record.figure("ablation", figures.ablation(tables.of(judged, *parts), shown))
# %%
table(tables.parts(tables.of(judged, *parts), compared), index="real update", formats={})

# %% [markdown]
# ## When in training
#
# F1 by thirds of a run. A single run has few events in a third, so here counts are pooled over all runs; the bars are 95 %
# bootstrap intervals over runs (no width where all runs agree). Below each third is its number of events; the burn-in is
# left out of the first.

# %%
of_thirds = tables.thirds(tables.of(judged, *wholes), ("kernel", "momentum", "step", "margin"))
record.figure("windows", figures.thirds(of_thirds))

# %% [markdown]
# ## How a convention moves the numbers
#
# The authors' public code averages precision and recall over steps, and counts a step without predictions as precision 1 and a
# step without events as recall 1. Where most steps have no event, silence is then nearly perfect: compare the predictors with
# few *predictions* in both conventions.

# %%
table(
    tables.conventions(tables.of(judged, *wholes), ("kernel", "momentum", "kappa", "random")),
    index="setting",
    formats={},
)

# %% [markdown]
# ## At the authors' number of updates
#
# The same runs as if they had ended after the first `early` updates, by the same rule. Their convention stands beside ours.

# %%
begun = judge({setting: beginning(tracks[setting], early) for setting in rates}, seed=seed)
compared_early = compare(begun, RULE)
record.frame("judged-early", begun)
for setting in wholes:
    told = tables.numbers(tables.of(begun, setting), ["kernel.f1", "kernel.f1_sd", "margin.f1", "margin.f1_sd", "momentum.f1",
                                                      "kernel.recall", "kernel.step_recall"])  # fmt: skip
    record.update(f"early.{setting.key}", told | {"verdict": compared_early.loc[(setting.words, "margin"), "verdict"]})
record.number("scale.early", min(early, steps))
table(tables.overview(begun, compared_early), index="setting", formats={})
# %%
table(tables.conventions(tables.of(begun, *wholes), ("kernel", "momentum", "margin")), index="setting", formats={})

# %% [markdown]
# ## Verdict

# %%
said = verdict(tables.of(judged, *wholes), RULE)
costs = {s.recipe: compared.loc[(s.words, "cost"), "verdict"] for s in parts[1:-1]}
costly, unjudged = ([part for part, word in costs.items() if word == of] for of in ("better", "cannot be judged"))
nothing = "none" if len(unjudged) < len(costs) else "cannot be judged"
f1, events = tables.f1(judged), tables.events(judged)["events"]
reached = f1.loc[whole.words]
Markdown(
    f"With the whole recipe, *the kernel predicts forgetting better than the margin* **{said}** ({said.because}).\n\n"
    + tables.sentences(tables.of(judged, *rates), compared)
    + f"\n\nAt lr {ablation_lr:g} the paper's predictor has an F1 of {f1.loc[plain.words, 'kernel']} under plain SGD "
    f"({events[plain.words]} events) and of {reached['kernel']} under the whole recipe ({events[whole.words]} events), "
    f"where adding the velocity gives {reached['momentum']} and the true step {reached['step']}. Of the parts of the recipe, "
    f"these cost the prediction something by the rule: **{', '.join(costly) or nothing}**"
    + (f" (cannot be judged: {', '.join(unjudged)})" if unjudged else "")
    + f". Of lpNTK alone, the signs reach {reached['signs']} (centred: {reached['signs-centred']}) and the scalar "
    f"{reached['kappa']} (centred: {reached['kappa-centred']}), the margin {reached['margin']}, chance {reached['random']}."
)

# %% [markdown]
# The numbers that the pages of the book quote; all others are in `frames/judged.csv`.

# %%
told = lambda setting, *keys: tables.numbers(tables.of(judged, setting), keys)
with_sd = lambda *names: [f"{name}.f1{sd}" for name in names for sd in ("", "_sd")]
against = lambda setting: compared.loc[
    (setting.words, "margin"), ["wins", "runs", "difference", "p", "verdict"]
].to_dict()
for setting in plains:
    record.update(f"rate.{setting.key}", told(setting, *with_sd("signs", "signs-centred", "kernel-logits", "margin")))
for setting in wholes:
    record.update(f"rate.{setting.key}", told(setting, *with_sd("kernel", "momentum", "step", "margin")))
    record.update(f"rate.{setting.key}.against.margin", against(setting))
    for third, part in (
        of_thirds[of_thirds["setting"] == setting.words].set_index("predictor").groupby("third", sort=False)
    ):
        f1 = {f"{name}.f1": part.loc[name, "f1"] for name in ("kernel", "margin")}
        record.update(f"rate.{setting.key}.{third}", {"events": part["events"].iloc[0], **f1})
first_order = told(plain, *(f"{name}.f1" for name in ("kernel", "kernel-logits", "kappa", "kappa-centred")))
sorting = told(plain, *(f"{name}.ap" for name in ("signs", "signs-centred", "kernel-logits")), "kernel-logits.size")
record.update("part.plain", first_order | sorting)
averaged = ("kernel.recall", "kernel.step_recall", "kappa.step_precision", "kappa.step_recall")
record.update("part.all", told(whole, *with_sd("kernel", "margin"), "kernel-logits.f1", *averaged))
record.update("part.all.against.margin", against(whole))
record.number("part.all.quiet_steps", tables.events(judged).loc[whole.words, "quiet"])
record.number("part.all.kappa.predictions", tables.predictions(judged)[whole.words, "kappa"])
record.number("rates.hindsight", ", ".join(compared.loc[(s.words, "hindsight"), "verdict"] for s in wholes))

# %% [markdown]
# The paper reports precision, recall and F1 of its predictor with their spread; for the numbers, see the paper. They cannot be
# compared with these digit by digit: the convention above, the schedule and the number of steps differ.
#
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | events, first learned, never forgotten | `events:follow`, `counts_at_presentations` | `test_events_of_sequences_written_by_hand` |
# | products with the Jacobian, scores | `pushes`, `predict:changes`, `predict:scores` | `test_the_products_are_those_of_explicit_blocks`, `test_gradient_velocity_and_weights_make_up_the_step` |
# | one training, predicted step by step | `walk` | `test_a_walk_is_an_ordinary_training_and_tells_what_happened` |
# | all trainings, resumable | `forgetting.study:study` | `test_a_killed_study_resumes_with_the_same_numbers` |
# | the first updates alone | `forgetting.judge:beginning` | `test_the_beginning_of_a_run_is_a_shorter_run` |
# | precision, recall, F1, thresholds | `judge:count`, `judge:rates`, `predict_fitted` | `test_pooled_counts_agree_with_scikit_learn`, `test_no_events_are_undefined_and_not_perfect` |
# | each run judged, on the steps after the burn-in | `judge:judge` | `test_all_predictors_are_judged_on_the_same_steps` |
# | comparisons and verdict | `compare:compare`, `compare:verdict` | `test_a_perfect_predictor_is_better_and_a_useless_one_is_not` |
# | thirds of a run | `tables:thirds` | `test_thirds_tell_where_the_kernel_is_blind` |
