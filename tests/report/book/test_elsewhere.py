"""The page book/elsewhere.md: each of its blocks is run, and its kernel is compared with the definition.

The blocks that need transformers or timm are skipped where these are absent: ``pip install -e .[elsewhere]``.
"""

import importlib.util
import re
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch
from oracle import assert_close_to_oracle, oracle_kernel
from sklearn.cluster import SpectralClustering
from sklearn.kernel_ridge import KernelRidge
from torch import nn

from lpntk import kernel_matrix
from lpntk.data.sources import import_torchvision

PAGE = Path(__file__).parents[3].joinpath("book", "elsewhere.md").read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE, re.S | re.M))
FEW = 6  # samples that the slow definition is asked of
TEXT, IMAGES = "A text classifier of Hugging Face", "A model of timm"


def needs(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install -e .[elsewhere]")
    import_torchvision()  # both load it, and beside a CPU build of torch that takes help
    return importlib.import_module(name)


@cache
def names(section):
    """What the block of a section defines."""
    for library in re.findall(r"^(?:from|import) (timm|transformers)", BLOCKS[section], re.M):
        needs(library)
    found = {}
    state = torch.get_rng_state()
    exec(BLOCKS[section], found)
    torch.set_rng_state(state)
    return found


def test_every_section_with_code_is_known():
    assert PAGE.count("```python\n") == len(BLOCKS) == 6


@pytest.mark.parametrize("section", BLOCKS)
def test_the_kernel_of_an_example_is_the_one_by_definition(section):
    here = names(section)
    model, x, y = here["model"].eval(), here["x"], here["y"]
    few = torch.linspace(0, len(x) - 1, FEW).long()
    want = oracle_kernel(model, x[few], y[few])
    assert_close_to_oracle(kernel_matrix(model, x[few], y[few]), want)
    if "cosine" in here and here["cosine"].shape == (len(x), len(x)):
        norm = want.diagonal().sqrt()
        assert_close_to_oracle(here["cosine"][few][:, few], want / norm[:, None] / norm)


def test_rows_against_other_columns_and_label_blind_are_those_by_definition():
    here = names("A network for tables")
    norms = [oracle_kernel(here["model"], here[x][:FEW], here[y][:FEW]).diagonal().sqrt()
             for x, y in (("x_new", "guess"), ("x", "y"))]  # fmt: skip
    want = oracle_kernel(here["model"], here["x_new"][:FEW], here["guess"][:FEW], here["x"][:FEW], here["y"][:FEW])
    assert_close_to_oracle(here["cosine"][:FEW, :FEW], want / norms[0][:, None] / norms[1])
    here = names("Kernel ridge regression in scikit-learn")
    for given in ("y_new", "y"):  # the labels are not read
        want = oracle_kernel(here["model"], here["x_new"][:FEW], here[given][:FEW], here["x"][:FEW], here["y"][:FEW],
                             signs="ones")  # fmt: skip
        assert_close_to_oracle(here["between"][:FEW, :FEW], want)


def test_a_wrong_label_that_was_learned_by_heart_hardly_stands_out():
    here = dict(names(TEXT))
    early = float(here["mean_cosine"][7])
    model = here["model"].train()
    with torch.random.fork_rng():
        for _ in range(40):
            nn.functional.cross_entropy(model(here["x"]), here["y"]).backward()
            here["optimizer"].step()
            here["optimizer"].zero_grad()
    cosine = kernel_matrix(model.eval(), here["x"], here["y"], normalize=True)
    assert early < 0.5
    assert ((cosine * here["same"]).sum(1) / here["same"].sum(1)).min() > 0.9


def test_real_weights_and_texts_go_the_same_way(tmp_path):
    here, transformers = dict(names(TEXT)), needs("transformers")
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"])
    )
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    bert().save_pretrained(tmp_path)
    here |= {"name": tmp_path, "texts": ["good film", "bad", "good good film", "film"], "y": torch.arange(4) % 3}
    (block,) = re.findall(r"^```{code-block} python\n(.*?)^```", PAGE, re.S | re.M)
    exec(block, here)
    assert here["x"].shape == (4, 5)
    assert (here["x"] == here["PAD"]).sum() == 5
    want = oracle_kernel(here["model"], here["x"], here["y"])
    norm = want.diagonal().sqrt()
    assert_close_to_oracle(here["cosine"], want / norm[:, None] / norm)


def test_cut_off_at_zero_the_graph_falls_to_pieces():
    affinity = names("Spectral clustering in scikit-learn")["cosine"].clamp(min=0).double().numpy()
    with pytest.warns(UserWarning, match="not fully connected"):
        SpectralClustering(10, affinity="precomputed", random_state=0).fit_predict(affinity)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpectralClustering(10, affinity="precomputed", random_state=0).fit_predict(
            names("Spectral clustering in scikit-learn")["affinity"].double().numpy()
        )


def test_a_gaussian_kernel_of_the_images_repeats_the_network_nearly_as_well():
    here = names("Kernel ridge regression in scikit-learn")
    fitted = KernelRidge(alpha=1e-3, kernel="rbf").fit(here["x"].flatten(1), here["logits"])
    told = torch.as_tensor(fitted.predict(here["x_new"].flatten(1))).argmax(1)
    rate = lambda said: float((said == here["logits_new"].argmax(1)).double().mean())
    assert 0.95 < rate(told) < rate(here["told"].argmax(1))


# ---- what the table of the page says of models of Hugging Face


def tokens():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(3, 50, (8, 9), generator=generator)
    return x.masked_fill(torch.arange(9) >= torch.randint(4, 10, (8, 1), generator=generator), 0), torch.arange(8) % 3


class Masked(nn.Sequential):
    def forward(self, ids):
        return self[0](input_ids=ids, attention_mask=(ids != 0).long()).logits


class First(Masked):
    def forward(self, ids):
        return super().forward(ids)[:, 0]


class Parted(nn.Sequential):
    def forward(self, x):
        return self[0](input_ids=x[..., 0], attention_mask=x[..., 1]).logits


def bert(kind="SequenceClassification", **options):
    transformers = needs("transformers")
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                     intermediate_size=32, max_position_embeddings=12, num_labels=3, pad_token_id=0,
                                     initializer_range=0.3, **options)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"BertFor{kind}")(config)


def test_tied_weights_count_in_both_of_their_places():
    tied, (x, _) = bert("MaskedLM").eval(), tokens()
    assert tied.cls.predictions.decoder.weight is tied.bert.embeddings.word_embeddings.weight
    y = torch.arange(len(x)) + 5
    assert_close_to_oracle(kernel_matrix(First(tied), x, y), oracle_kernel(First(tied), x, y))


def test_masks_may_be_stacked_on_the_tokens_and_both_may_be_int32():
    model, (x, y) = bert().eval(), tokens()
    want = oracle_kernel(Masked(model), x, y)
    both = torch.stack([x, (x != 0).long()], -1)
    assert_close_to_oracle(kernel_matrix(Parted(model), both, y), want)
    assert_close_to_oracle(kernel_matrix(Masked(model), x.int(), y.int()), want)
    unmasked = kernel_matrix(Parted(model), torch.stack([x, torch.ones_like(x)], -1), y).double()
    assert (unmasked - want).norm() > 0.01 * want.norm()


def test_a_model_in_half_precision_may_be_asked_in_float32():
    x, y = tokens()
    half = Masked(bert().eval()).to(torch.bfloat16)
    want = oracle_kernel(half, x, y)  # of the weights as they were rounded
    assert_close_to_oracle(kernel_matrix(half, x, y, precision="float32"), want)
    rounded = kernel_matrix(half, x, y).double()
    assert 1e-4 < float((rounded - want).norm() / want.norm()) < 0.05


def test_checkpointing_is_right_and_slow_and_said(caplog):
    x, y = tokens()
    model = bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    want = oracle_kernel(Masked(model), x, y)
    model.train().activation_checkpointing_enable()
    assert_close_to_oracle(kernel_matrix(Masked(model), x, y), want)
    assert "Each sample is differentiated alone instead" in caplog.text


def test_a_model_from_a_configuration_is_in_training_mode_and_a_loaded_one_is_not(tmp_path):
    made = bert()
    made.save_pretrained(tmp_path)
    assert made.training
    assert not type(made).from_pretrained(tmp_path, local_files_only=True).training


def test_what_is_given_as_it_comes_is_refused_in_words_that_help():
    x, y = tokens()
    with pytest.raises(ValueError, match=r"dropout' \(Dropout\) is in training mode.*model\.eval\(\)"):
        kernel_matrix(Masked(bert()), x, y)
    with pytest.raises(ValueError, match=r"SequenceClassifierOutput with logits\. Wrap it(?s:.*)attention_mask"):
        kernel_matrix(bert().eval(), x, y)
    batch = needs("transformers").BatchEncoding({"input_ids": x, "attention_mask": (x != 0).long()})
    with pytest.raises(ValueError, match=r"got a BatchEncoding(?s:.*)attention_mask=x\[\.\.\., 1\]\)\.logits"):
        kernel_matrix(bert().eval(), batch, y)
    with pytest.raises(ValueError, match="_orig_mod"):
        kernel_matrix(torch.compile(Masked(bert().eval()), backend="eager"), x, y, device="cpu")
