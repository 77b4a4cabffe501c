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
# # Poison
#
# The abstract says that removing samples which the kernel marks as harmful does not hurt ([theory](../book/questions/poison.md)). What is public does not say
# what poison is. So we plant some, in four ways that are ours, and ask: does the kernel find it, does it find it better than
# a plain record of the loss, and does removing what it marks hurt or help? Two more questions stand beside these: what if scores are chosen on a pilot, and what if all goes that two criteria of the authors' code tell?
#
# **Fixed in advance.** Every method is one score for each sample, and larger is more suspicious. Nothing of a method is chosen by results, but for the pilot's choice below. One of the kernel's methods
# is judged: the mean cosine of a sample to all others of its given label, after training. Small is suspicious. All other methods are shown beside it.
#
# **Fair play.** All methods ask the same networks, which learned all samples with the labels they were given. Networks that score are never those that are judged.
# Everything is drawn anew in every repeat. Within a repeat all threats and arms start from the same samples and the same weights. The last epoch counts.
#
# **The rules.** The numbers compared are average precisions, paired over repeats. In a case, that is a threat at a rate, the kernel is *better* or *worse* than another method if a
# t test says so at the level 0.05, corrected after Holm over all cases and both other methods; otherwise *equal* if the 90 % interval of the difference lies within ± 0.05,
# and *undecided* if it does not. *Harmful samples are found* **holds** in a case if the kernel is better than random marks and **fails** if it is worse or equal. *The kernel
# deserves the credit* **holds** in a case if it is better than the loss accumulated over training and **fails** if it is worse. *Removing does not
# hurt* is asked of clean samples, where 5 % are removed all the same: it **holds** if the 90 % interval of the paired difference in test accuracy to all samples lies above minus the
# margin, **fails** if it lies below that, and **is undecided** otherwise. Cases are joined: a claim holds or fails if it does in all of them,
# holds in part if it holds in some, and is undecided otherwise. Nothing **can be judged** with fewer than 5 repeats, if a network diverged, or if all clean samples
# give a test accuracy below 90 %. The claim of the page holds if removing does not hurt and harmful samples are found, holds in part if only the first is so, and is else what became of the first.
#
# **Three more detectors**, the area under the margin, cleanlab's label quality and TRAK, are compared by the same words, with a correction of their own over all cases and these three. They decide none
# of the claims above. Label quality asks five networks that have not learned the sample, where all others ask one that has.
#
# **A pilot.** One half of the training samples is the pilot's, and everything else is drawn from the other, by other seeds. On the pilot two scores are chosen by their average precision: one of fifteen of the kernel, which are
# five scores of ours before training, after it, and averaged over the epochs, and one of the methods without the kernel. Left out are the score that is told good samples, and the two of the authors' code. Who *knows* the threat
# takes what is best for it. Who does *not know* it takes what is best for the three others. On the other half both choices are compared by the words above, with a correction over all cases for each of both ways. *The chosen score of the
# kernel beats the chosen one of the others* **holds** in a case if the kernel's is better and **fails** if it is worse. All of this is of one split and one choice.
#
# **Two criteria of the authors' code.** Its *selfmax* leaves samples out to which another of their class is more similar than they are to themselves. Lines that are commented out drop both samples of a pair of one class with a
# negative kernel. Here all such samples go, whatever their number, beside as many at random. Dropping is *better* or *worse than chance* if a paired t test of accuracy says so at the level 0.05, corrected after Holm over both
# criteria and all threats. On clean samples *it does not hurt* by the rule of the margin. Fewer samples are fewer steps in as many epochs, so this asks more than the first. Nothing is judged where a criterion drops less than 1 % of the samples in a repeat.
#
# These two questions, more repeats and more rates came when an earlier run had been seen, of the same threats on the same data sets. The rules above them are as they were, but that a network that diverges anywhere now unjudges all three.

# %% tags=["parameters"]
dataset = "digits"  # or "mnist", "cifar10", or the path of your own .npz
model = "mlp"  # or "lenet5", "lenet", "resnet18"
options = {"hidden": [64]}  # of the architecture
n = 600  # training samples
rates = {
    "uniform": [0.05, 0.1, 0.2, 0.3],
    "pairwise": [0.05, 0.1, 0.2, 0.3],
    "backdoor": [0.01, 0.03, 0.05],
    "duplicates": [0.05],
}  # shares of bad samples
removed = {
    "uniform": 0.2,
    "pairwise": 0.2,
    "backdoor": 0.03,
    "duplicates": 0.05,
    "clean": 0.05,
}  # where they are removed, too
shown = {
    "uniform": 0.2,
    "pairwise": 0.2,
    "backdoor": 0.03,
    "duplicates": 0.05,
}  # the one rate of each threat that tables show
budgets = [1.0, 1.5]  # how many are removed, by how many are bad
repeats = 5
pilot = 3  # repeats on the pilot's half, which choose a score
scorers = 1  # networks behind every score
epochs = 20
early = 2  # epochs after which EL2N and GraNd are taken
patch = 2  # side of the backdoor's square, pixels
margin = 0.01  # of test accuracy that counts as none
lr = 0.05
schedule = "constant"  # or "cosine"
batch_size = 64
momentum = 0.9
weight_decay = 0.0005
seed = 0
device = "auto"
results = "../results/interactive/11-poison"

# %%
RULE = {"level": 0.05, "close": 0.05, "margin": margin, "least": 0.5, "repeats": 5, "test": 0.9, "drops": 0.01}
PEERS = ["aum", "quality", "trak"]

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.poison import figures
from lpntk.phenomena.less_data.poison.asked import check_asked
from lpntk.phenomena.less_data.poison.authors import MARKS, against_chance, dropped
from lpntk.phenomena.less_data.poison.detectors import AVERAGED, INITIAL, MAIN, METHODS, SHOWN
from lpntk.phenomena.less_data.poison.pilot import KINDS, WAYS, by_choice, choose, halves
from lpntk.phenomena.less_data.poison.study import Setting, detection, removal
from lpntk.phenomena.less_data.poison.threats import CLEAN, THREATS
from lpntk.phenomena.less_data.poison.verdict import ORDER, against, judge, restored
from lpntk.phenomena.less_data.selection.verdict import against_all, hurts_not, title, unjudged
from lpntk.report import plots
from lpntk.report.results import Results
from lpntk.report.spread import keyed, words
from lpntk.report.verdict import UNJUDGED

plots.use_style()
record = Results(results)
cache = Cache()  # what was computed before is not computed again

# %% [markdown]
# ## Plant and score

# %%
samples = data.load(dataset)
first, second = halves(samples, seed)
network = Network(model, samples.in_shape, samples.k, options)
training = {
    "lr": lr,
    "schedule": schedule,
    "batch_size": batch_size,
    "momentum": momentum,
    "weight_decay": weight_decay,
}
setting = Setting(
    network=network,
    data=second,
    n=n,
    scorers=scorers,
    epochs=epochs,
    early=early,
    seed=seed,
    cache=cache,
    training=training,
    patch=patch,
    device=device,
)
other = replace(setting, data=first, seed=seed + 1)  # of the pilot
asked = {"rates": rates, "removed": removed, "shown": shown, "budgets": budgets, "repeats": repeats, "pilot": pilot}
check_asked(setting, other, **asked)
frame = record.study("detection", detection, setting, rates, repeats, cache=cache, device=device)
at_shown = frame[frame["rate"] == frame["threat"].map(shown)]
record.update("rate", shown | {CLEAN: removed[CLEAN]})
groups = at_shown.groupby(["threat", "method"], sort=False)
means = groups[["ap", "auroc"]].mean().join(groups["ap"].std().rename("ap_sd"))
record.update("found", keyed(means, "{threat}.{method}.{column}", ["ap", "auroc", "ap_sd"]))

# %% [markdown]
# ## Who finds what
#
# Average precision: 1 if the bad samples are the most suspicious ones, their share if marks are random. A dot is a repeat, a bar their mean. Blue: by the kernel.
# Pink: what the authors' code holds. Orange: other methods.

# %%
record.figure("found", figures.found(frame, shown))

# %%
table = words(at_shown, ["method", "threat"], ["ap"], "{:.2f}")["ap"].unstack("threat")[list(shown)].loc[SHOWN]
table.columns = [f"{THREATS[threat]}, {rate:.0%}" for threat, rate in shown.items()]
table.rename(index={name: told for name, (told, _) in METHODS.items()})

# %% [markdown]
# The chance that a bad sample is more suspicious than a good one (AUROC):

# %%
table = words(at_shown, ["method", "threat"], ["auroc"], "{:.2f}")["auroc"].unstack("threat")[list(shown)].loc[SHOWN]
table.columns = [f"{THREATS[threat]}, {rate:.0%}" for threat, rate in shown.items()]
table.rename(index={name: told for name, (told, _) in METHODS.items()})

# %% [markdown]
# ## At which rates
#
# Shaded: one standard deviation over repeats.

# %%
record.figure("rates", figures.rates(frame))

# %% [markdown]
# ## Chosen on a pilot
#
# Which score of each kind was most precise on the pilot's half, and by how much (*lead*). A small lead is a choice by chance.

# %%
piloted = record.study("pilot", detection, other, rates, pilot, cache=cache, device=device)
choice = choose(piloted)
record.frame("choice", choice)
told = choice.assign(**{name: choice[name].map(lambda method: METHODS[method][0]) for name in ("method", "second")})
record.update("choice", keyed(told, "{way}.{threat}.{kind}.{column}", ["method", "lead"]))
told.set_index(["way", "threat", "kind"]).sort_index(level=["way", "threat"], sort_remaining=False).style.format({"ap": "{:.2f}", "lead": "{:.3f}"}).set_table_attributes('class="dataframe"')  # fmt: skip

# %% [markdown]
# ## Remove, learn anew, test
#
# As many are removed as are bad. Of clean samples nothing is bad, and as many are removed all the same.

# %%
outcome = record.study("removal", removal, setting, removed, repeats, budgets, cache=cache, device=device)
record.figure("removed", figures.removed(outcome))

# %% [markdown]
# What each arm restores. *Gain*: over removing nothing. *Share*: of what removing all that is bad brings; a dash where that brings nothing that the repeats could tell from zero.

# %%
brought = restored(outcome, RULE)
record.frame("restored", brought)
once = brought[brought["budget"].isin([0.0, 1.0])]
record.update("removed", keyed(once, "{threat}.{arm}.{column}", ["last", "success", "gain", "low", "high", "share"]))
look = {"last": "{:.1%}", "success": "{:.1%}", "gain": "{:+.2%}", "share": "{:.0%}"}
brought.set_index(["threat", "arm", "budget"])[list(look)].style.format(look, na_rep="-").set_table_attributes(
    'class="dataframe"'
)

# %% [markdown]
# ## Two criteria of the authors' code
#
# *Dropped*: share of the samples. *Of bad*: of those that were planted. *Success*: of the backdoor; beside it that without as many random samples. *Apart*: accuracy less that without random ones. *Gain*: over all samples.
# Intervals are of 90 %, not corrected.

# %%
marked = record.study("dropped", dropped, setting, removed, repeats, cache=cache, device=device)
is_clean = outcome["threat"] == CLEAN
clean, others = outcome[is_clean], outcome[~is_clean]
reason = unjudged(clean, RULE, others)
drops = against_chance(marked, RULE, unjudged(clean, RULE, others, marked))
record.frame("drops", drops)
tried = drops[drops["repeats"] > 0]  # of a mark that drops nothing there are no numbers
record.update("dropped", keyed(drops, "{threat}.{mark}.{column}", ["repeats", "word", "hurts_not"]))
record.update("dropped", keyed(tried, "{threat}.{mark}.{column}", ["dropped", "of_bad", "success", "chance_success", "apart", "apart_low", "apart_high", "gain", "low", "high"]))  # fmt: skip
judged = len(outcome) + int((marked["arm"] != "all").sum())  # ``removal`` has those of all samples, too
record.update("scale", {"n": n, "repeats": repeats, "pilot": pilot, "networks": judged, "seconds": cache.seconds})
look = {column: "{:.1%}" for column in ("dropped", "of_bad", "last", "success", "chance_success")}
look |= {column: "{:+.2%}" for column in ("gain", "low", "high", "apart", "apart_low", "apart_high")} | {"p": "{:.3f}"}
drops.replace({"mark": MARKS}).set_index(["threat", "mark"]).style.format(look, na_rep="-").set_table_attributes(
    'class="dataframe"'
)

# %% [markdown]
# ## Verdict

# %%
found = against(frame, ["random", "loss"], RULE)
record.frame("against", found)
beside = against(frame, PEERS, RULE)  # decides nothing
record.frame("beside", beside)
averaged = against(frame, [MAIN + AVERAGED, MAIN + INITIAL], RULE)  # decides nothing, nor does this
record.frame("averaged", averaged)
OURS, THEIRS = KINDS["kernel"], KINDS["usual"]
chosen = {way: against(by_choice(frame, choice, way), [THEIRS], RULE, OURS) for way in WAYS}
record.frame("chosen", pd.concat(chosen, names=["way"]).reset_index("way"))
compared = against_all(clean, RULE)
record.frame("clean", compared)
record.update("clean", keyed(compared, "{arm}.{column}", ["difference", "low", "high"]))
if reason:
    for part in (found, beside, averaged, *chosen.values()):
        part["word"] = UNJUDGED
marks = judge(found, "random", reason, equal="fails")
credit = judge(found, "loss", reason, equal="is undecided")
best = {way: judge(part, THEIRS, reason, equal="is undecided") for way, part in chosen.items()}
hurt = hurts_not(clean, compared, RULE, MAIN, [others])
record.update("verdict", {"word": title(hurt, marks).word, "hurts_not": hurt.word, "found": marks.word, "credit": credit.word,
                          **{way: best[way].word for way in WAYS}, "margin": RULE["margin"], "close": RULE["close"]})  # fmt: skip
sides = {other: part for both in (found, beside, averaged) for other, part in both.groupby("other")} | chosen
for name, part in sides.items():
    counts = {word: int((part["word"] == word).sum()) for word in ORDER}
    record.update(f"against.{name}", counts | {"of": len(part)})
    at = part[part["rate"] == part["threat"].map(shown)]
    record.update(f"case.{name}", keyed(at, "{threat}.{column}", ["word", "difference", "ap"]))
Markdown(
    f"*Removing does not hurt* **{hurt}**: {hurt.because}\n\n*Harmful samples are found* **{marks}**: {marks.because}\n\n"
    f"*The kernel deserves the credit* **{credit}**: {credit.because}\n\n*The chosen score of the kernel beats the chosen one of the others*: "
    + "; ".join(f"threat {way}, **{verdict}**: {verdict.because}" for way, verdict in best.items())
)

# %%
look = {"ap": "{:.2f}", "difference": "{:+.2f}", "low": "{:+.2f}", "high": "{:+.2f}", "p": "{:.3f}", "rate": "{:.0%}"}
told = [part.assign(other=f"chosen, threat {way}") for way, part in chosen.items()]
pd.concat([found, beside, averaged, *told]).set_index("threat").style.format(look).set_table_attributes(
    'class="dataframe"'
)

# %% [markdown]
# ## Where it is computed
#
# | quantity | function, in lpntk/ | test, in tests/ |
# |---|---|---|
# | what is refused before anything is trained | `poison.asked:check_asked` | `test_what_cannot_be_done_is_refused_before_anything_is_trained` |
# | planted samples | `poison.threats:poison`, `patched` | `test_flips_are_as_many_as_asked_and_of_the_kind_asked`, `test_a_backdoor_is_a_bright_corner_and_one_label`, `test_copies_are_near_one_sample_of_their_class` |
# | scores | `poison.detectors:suspicion`, `kernels` | `test_suspicion_is_what_its_definitions_say`, `test_scores_of_hand_made_kernels` |
# | margins, label quality, TRAK | `poison.peers:peers`, `held_out:out_of_sample`, `poison.influence:self_influence` | `test_peers_are_what_their_definitions_say`, `test_self_influence_is_its_formula` |
# | average precision, AUROC | `poison.study:detection` | `test_detection_ranks_as_its_definition_says` |
# | what a pilot chooses | `poison.pilot:choose`, `halves` | `test_the_pilot_chooses_the_most_precise_of_each_kind`, `test_the_pilot_shares_no_sample` |
# | all that two criteria tell | `poison.authors:dropped`, `against_chance` | `test_all_that_is_marked_goes_and_as_many_at_random`, `test_marks_are_judged_against_all_and_against_chance` |
# | trainings without what was marked | `poison.study:removal`, `without` | `test_what_is_removed_is_what_is_most_suspicious`, `test_every_arm_keeps_to_its_budget` |
# | comparisons, verdicts | `against`, `poison.verdict:judge`, `poison.verdict:restored` | `test_planted_precisions_are_judged_by_the_rule`, `test_the_share_of_a_gap_needs_a_gap` |
