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
# **The rule for the verdict.** At each setting of the real update, the paper's predictor is *better* than the fitted
# margin if its F1 is higher in at least 90 % of the runs that have events after the burn-in, and a two-sided Wilcoxon
# signed-rank test over these runs has $p < 0.05$; it is *worse* if the same holds the other way round; otherwise *undecided*.
# The level is that of one setting and is not corrected for their number. With fewer than 6 such runs (which could not reach
# the level) or 30 such events nothing can be judged. *The kernel predicts forgetting better than the margin* **holds** if, with
# the whole recipe that networks are trained with (momentum, weight decay, dropout), it is better at every learning rate that
# can be judged; it holds **in part** if at some; it **fails** if it is worse at every one; otherwise it **is undecided**. That is a
# comparison, not praise: how many of the events it finds stands beside it. A part of the recipe *costs* the prediction something if, in a
# training with that part alone, the true step is better than the kernel by the same rule.

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
from lpntk.phenomena.forgetting import events as forgetting
from lpntk.phenomena.forgetting import figures as forgetting_plots
from lpntk.phenomena.forgetting import predict_figures as forgetting_predict_plots
from lpntk.phenomena.forgetting.counts import both_counts, count_numbers, count_rows
from lpntk.phenomena.forgetting.judge.compare import overall
from lpntk.phenomena.forgetting.judge.summary import judge
from lpntk.phenomena.forgetting.judge.windows import window_numbers, window_words
from lpntk.phenomena.forgetting.study import by_part, by_rate, study
from lpntk.phenomena.forgetting.tables import (
    comparison_numbers,
    comparisons,
    convention_rows,
    f1_numbers,
    numbers,
    overview_rows,
    part_rows,
    predictor_rows,
    rate_numbers,
    text,
    verdict_line,
)
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
names = {s: [f"rate.{s.key}"] for s in rates}  # of their numbers; a setting may be both
for s in parts:
    names.setdefault(s, []).append(f"part.{s.part}")
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
record.figure("history", forgetting_plots.history({s: tracks[s] for s in rates}))
# %%
for setting, track in tracks.items():
    for name in names[setting]:
        record.update(f"count.{name}", count_numbers(track))
table(count_rows(tracks), index="setting", formats={})

# %% [markdown]
# Toneva et al. look at a sample only when it is presented. Between two presentations many updates pass, and a sample that is
# lost and found again in between goes unnoticed. Both counts, for the whole recipe at the learning rate of the ablation:

# %%
plain, whole = parts[0], parts[-1]
found = both_counts(tracks[whole])
record.number(
    "presentations.seen", float(found["at presentations"].sum() / found["after every update"].sum().clamp_min(1))
)
record.number("presentations.events", int(found["after every update"].sum()))
record.figure("counts", forgetting_plots.counts(found))

# %% [markdown]
# The samples most often forgotten, and those that are learned first and kept by every run:

# %%
histories = forgetting.follow(tracks[whole].finished().correct)
record.figure("gallery", forgetting_plots.gallery(samples, x[:followed], y[:followed], histories))

# %% [markdown]
# ## What is foreseen
#
# From here on: the samples of the previous batch, the update on the current one. An event is *predicted* if a sample is correct
# before the update and the predicted output after it is not. F1 as mean and standard deviation over the runs that have
# events after the burn-in; the last three columns compare the paper's predictor (*kernel, on probabilities*) with the fitted margin by the rule
# above; with the margin given its best threshold in hindsight, an advantage that the kernel has not; and by average
# precision (AP), where neither needs a threshold.

# %%
judged = {setting: judge(track, seed=seed) for setting, track in tracks.items()}
compared = {setting: comparisons(told) for setting, told in judged.items()}
for setting, told in judged.items():
    for name in names[setting]:
        record.update(name, numbers(told))
        record.update(f"{name}.against", comparison_numbers(compared[setting]))
table(overview_rows(judged, compared), index="setting", formats={})

# %%
record.figure("predictors", forgetting_predict_plots.predictors({s: judged[s] for s in rates}))

# %% [markdown]
# Each dot is a run, each bar the mean of its row.
#
# ## Without a threshold
#
# A threshold hides how well a score sorts. Precision against recall over all thresholds, all runs together, on the same steps:

# %%
pair = {setting: tracks[setting] for setting in (plain, whole)}
shown = ("kernel", "momentum", "step", "signs", "signs-centred", "margin")
record.figure("curves", forgetting_predict_plots.curves(pair, judged, shown))

# %% [markdown]
# All measures of all predictors, plain SGD first, then the whole recipe:

# %%
table(predictor_rows(judged[plain]), index="predictor", formats={})
# %%
table(predictor_rows(judged[whole]), index="predictor", formats={})

# %% [markdown]
# ## Events need a small margin
#
# A sample is forgotten when its margin is not larger than what the update takes from it. On or above the diagonal the kernel predicts an
# event. The margin is known to every predictor; the loss of margin is what they get right or wrong. The better the kernel knows
# the update, the more the forgotten samples are those above the line. Of the samples that were kept only a part is drawn.

# %%
record.figure("margins", forgetting_predict_plots.margins(pair))

# %% [markdown]
# ## What each part of the real update costs
#
# The paper's predictor expands the step $-\eta g$ on the current batch. SGD with momentum $\mu$ and weight decay $\lambda$ makes the step
# $-\eta\,(g + \lambda w + \mu v)$, and with dropout $g$ itself is another gradient. In each training below one part is added to plain SGD. The
# *correlation* is that of the predicted and the true change of the margin over all samples at risk; the *size* is the kernel's
# median change over the true one.

# %%
record.figure("ablation", forgetting_predict_plots.ablation({s: judged[s] for s in parts}, shown))
# %%
table(part_rows({s: judged[s] for s in parts}, compared), index="real update", formats={})

# %% [markdown]
# ## When in training
#
# F1 by thirds of a run. A single run has few events in a third, so here counts are pooled over all runs; the bars are 95 %
# bootstrap intervals over runs (no width where all runs agree). Below each third is its number of events; the burn-in is
# left out of the first.

# %%
wholes = {s: judged[s] for s in rates if s.recipe == "all"}
shown = ("kernel", "momentum", "step", "margin")
for setting, told in wholes.items():
    for name in names[setting]:
        record.update(name, window_numbers(told, shown))
record.update("windows", window_words(wholes, shown))
record.figure("windows", forgetting_predict_plots.windows(wholes, shown))

# %% [markdown]
# ## How a convention moves the numbers
#
# The authors' public code averages precision and recall over steps, and counts a step without predictions as precision 1 and a
# step without events as recall 1. Where most steps have no event, silence is then nearly perfect: compare the predictors with
# few *predictions* in both conventions.

# %%
table(convention_rows(wholes, ("kernel", "momentum", "kappa", "random")), index="setting", formats={})

# %% [markdown]
# ## Verdict

# %%
verdict = overall([compared[s]["margin"].verdict for s in wholes])
costly = [s.recipe for s in parts[1:-1] if compared[s]["cost"].verdict == "better"]
unjudged = [s.recipe for s in parts[1:-1] if compared[s]["cost"].verdict == "cannot be judged"]
record.number("verdict", verdict)
record.update("rates", rate_numbers(wholes, compared))
plains = {s: judged[s] for s in rates if s.recipe == "plain"}
record.update("plain_rates", f1_numbers(plains, ("signs", "signs-centred", "kernel-logits", "margin")))
nothing = "none" if len(unjudged) < len(parts[1:-1]) else "cannot be judged"
record.number("costly", ", ".join(costly) or nothing)
f1 = {s: {name: text(values["f1"]) for name, values in judged[s].values.items()} for s in (plain, whole)}
Markdown(
    f"With the whole recipe, *the kernel predicts forgetting better than the margin* **{verdict}**.\n\n"
    + "\n".join(verdict_line(setting, judged[setting], compared[setting]) for setting in rates)
    + f"\n\nAt lr {ablation_lr:g} the paper's predictor has an F1 of {f1[plain]['kernel']} under plain SGD "
    f"({judged[plain].total.sum()} events) and of {f1[whole]['kernel']} under the whole recipe "
    f"({judged[whole].total.sum()} events), where adding the velocity gives {f1[whole]['momentum']} and the true step "
    f"{f1[whole]['step']}. Of the parts of the recipe, these cost the prediction something by the rule: "
    f"**{record.numbers['costly']}**"
    + (f" (cannot be judged: {', '.join(unjudged)})" if unjudged else "")
    + f". Of lpNTK alone, the signs reach {f1[whole]['signs']} "
    f"(centred: {f1[whole]['signs-centred']}) and the scalar "
    f"{f1[whole]['kappa']} (centred: {f1[whole]['kappa-centred']}), the margin {f1[whole]['margin']}, chance "
    f"{f1[whole]['random']}."
)

# %% [markdown]
# The paper reports precision, recall and F1 of its predictor with their spread; for the numbers, see the paper. They cannot be
# compared with these digit by digit: the convention above, the schedule and the number of steps differ.
#
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | events, first learned, never forgotten | `events:follow`, `counts_at_presentations` | `test_events_of_sequences_written_by_hand` |
# | products with the Jacobian, scores | `pushes`, `predict:changes`, `scores` | `test_the_products_are_those_of_explicit_blocks`, `test_gradient_velocity_and_weights_make_up_the_step` |
# | precision, recall, F1, thresholds | `outcome`, `predict_fitted` | `test_pooled_counts_agree_with_scikit_learn`, `test_no_events_are_undefined_and_not_perfect` |
# | one training, predicted step by step | `walk` | `test_a_walk_is_an_ordinary_training_and_tells_what_happened` |
# | all trainings, resumable | `forgetting.study:study` | `test_a_killed_study_resumes_with_the_same_numbers` |
# | each run judged, on the steps after the burn-in | `summary:judge` | `test_all_predictors_are_judged_on_the_same_steps` |
# | comparisons and verdict | `compare:compare`, `compare:overall` | `test_a_perfect_predictor_is_better_and_a_useless_one_is_not` |
# | thirds of a run | `window_f1`, `window_words` | `test_windows_name_where_the_margin_is_ahead` |
