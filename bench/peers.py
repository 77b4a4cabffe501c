"""What do other libraries need for the same kernel? One adaptor each, imported when it runs.

Every adaptor uses the library's own machinery for what it is good at: GramMatrix objects, gradients per sample,
influence scores. The (n, p) gradients are multiplied here where a library stops at them.
"""

import copy
import tempfile
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from bench.problem import Problem
from bench.variants import CannotComputeError, Computed, Variant, gram_of_rows, n_by_p

NNGEOMETRY_BYTES = 4 * 2**30
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NOT_RUN = {
    "asdl": "not released on the package index, where the name asdl is another project",
    "neural-tangents": "0.6.5 runs with jax 0.4.20, which needs numpy below 2; this project needs numpy 2",
}


def nngeometry(problem: Problem) -> Computed:
    """NNGeometry's Gram matrix of the scalar function s^T z, layer by layer, in the largest batches that fit."""
    if _has(problem, nn.Embedding, nn.LayerNorm):
        raise CannotComputeError("has no rule for an embedding, nor for layers that are used at every token")
    from nngeometry.gram import GramMatrix

    loader = DataLoader(TensorDataset(problem.x.clone(), problem.s), batch_size=nngeometry_batch(problem))
    scalar = lambda x, s: (problem.model(x) * s).sum(dim=1, keepdim=True)
    gram = GramMatrix(problem.model, loader, function=scalar).to_torch()
    return Computed(gram.view(problem.n, problem.n).T)


def nngeometry_batch(problem: Problem) -> int:
    """Return the largest batch whose gradients of the widest layer fit, the same for the whole of the data."""
    most = max(1, NNGEOMETRY_BYTES // _bytes_of_widest(problem))
    return -(-problem.n // -(-problem.n // most))


def _bytes_of_widest(problem: Problem) -> int:
    """Layers other than linear ones expand to gradients per sample, of two batches, and what they are made from."""
    layers = [m for m in problem.model.modules() if not list(m.children()) and not isinstance(m, nn.Linear)]
    return 3 * 4 * max([1, *[sum(p.numel() for p in m.parameters()) for m in layers]])


def nngeometry_bytes(problem: Problem) -> int:
    """Return what it will hold: gradients of the widest layer, and the graphs of two batches of activations."""
    sizes: list[int] = []
    count = lambda module, inputs, output: sizes.append(output.numel())
    hooks = [m.register_forward_hook(count) for m in problem.model.modules() if not list(m.children())]
    with torch.no_grad():
        problem.model(problem.x[:1])
    for hook in hooks:
        hook.remove()
    return nngeometry_batch(problem) * (
        _bytes_of_widest(problem) + 2 * 2 * 4 * sum(sizes)
    )  # values and their gradients


def _has(problem: Problem, *types: type[nn.Module]) -> bool:
    return any(isinstance(module, types) for module in problem.model.modules())


def backpack(problem: Problem) -> Computed:
    """BackPACK's BatchGrad extension, then one GEMM."""
    if _has(problem, nn.LayerNorm):
        raise CannotComputeError("has no gradients per sample of a layer normalisation")
    from backpack import backpack as extensions
    from backpack import extend
    from backpack.extensions import BatchGrad

    model = extend(copy.deepcopy(problem.model))
    parameters = list(model.parameters())

    def gradients(part: slice) -> Iterator[Tensor]:
        scalar = (model(problem.x[part]) * problem.s[part]).sum()
        with extensions(BatchGrad()):
            scalar.backward()
        for p in parameters:
            yield p.grad_batch
            del p.grad_batch
            p.grad = None

    return gram_of_rows(problem, gradients)


def opacus(problem: Problem) -> Computed:
    """Opacus' gradients per sample, then one GEMM."""
    from opacus import GradSampleModule

    model = _without_statistics(copy.deepcopy(problem.model)).train()  # its hooks look at modules that train only
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model = GradSampleModule(model, loss_reduction="sum")

    def gradients(part: slice) -> Iterator[Tensor]:
        (model(problem.x[part]) * problem.s[part]).sum().backward()
        yield from (p.grad_sample for p in model.parameters())
        model.zero_grad(set_to_none=True)

    return gram_of_rows(problem, gradients)


class _AffineNorm(nn.Module):
    """Batch norm with its running statistics as constants: the same function and parameters in either mode."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.mean, self.scale = norm.running_mean, (norm.running_var + norm.eps).rsqrt()

    def forward(self, x: Tensor) -> Tensor:
        wide = lambda v: v.view(-1, *[1] * (x.ndim - 2))
        return (x - wide(self.mean)) * wide(self.scale) * wide(self.weight) + wide(self.bias)


def _without_statistics(model: nn.Module) -> nn.Module:
    for name, child in model.named_children():
        setattr(model, name, _AffineNorm(child) if isinstance(child, NORMS) else _without_statistics(child))
    return model


def trak(problem: Problem) -> Computed:
    """TRAK's gradients per sample without a projection, then its product of features and targets."""
    from trak.gradient_computers import FunctionalGradientComputer
    from trak.modelout_functions import AbstractModelOutput
    from trak.utils import get_num_params

    class Scalar(AbstractModelOutput):
        def __init__(self) -> None: ...

        def get_output(self, model: nn.Module, weights: dict, buffers: dict, x: Tensor, s: Tensor) -> Tensor:
            return (functional_call(model, (weights, buffers), (x[None],))[0] * s).sum()

        def get_out_to_loss_grad(self, *arguments: object) -> None: ...

    p = get_num_params(problem.model)
    computer = FunctionalGradientComputer(problem.model, Scalar(), p, torch.float32, problem.device)

    @torch.no_grad()  # its weights ask for gradients, of which autograd would keep a second graph
    def gradients(part: slice) -> Iterable[Tensor]:
        return computer.compute_per_sample_grad((problem.x[part], problem.s[part])).values()

    return gram_of_rows(problem, gradients)


def kronfluence(problem: Problem) -> Computed:
    """Kronfluence's pairwise influence scores with the identity for a Hessian, all queries in one batch."""
    if _has(problem, *NORMS, nn.LayerNorm, nn.Embedding):
        raise CannotComputeError("tracks linear and convolution layers only, so others are missing from the sum")
    if problem.device.type != "cpu":
        raise CannotComputeError("is told to run on the CPU here")
    from kronfluence import Analyzer, FactorArguments, ScoreArguments, Task, prepare_model

    class Scalar(Task):
        def compute_train_loss(self, batch: tuple, model: nn.Module, sample: bool = False) -> Tensor:
            return (model(batch[0]) * batch[1]).sum()

        def compute_measurement(self, batch: tuple, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    model, dataset = prepare_model(copy.deepcopy(problem.model), Scalar()), TensorDataset(problem.x, problem.s)
    with tempfile.TemporaryDirectory() as folder:  # it hands scores over as files
        analyzer = Analyzer(
            "kernel", model, Scalar(), cpu=True, output_dir=folder, disable_tqdm=True, disable_model_save=True
        )
        analyzer.fit_all_factors("identity", dataset, factor_args=FactorArguments(strategy="identity"))
        analyzer.compute_pairwise_scores(
            "scores",
            "identity",
            query_dataset=dataset,
            train_dataset=dataset,
            score_args=ScoreArguments(damping_factor=0.0),
            per_device_query_batch_size=problem.n,
            per_device_train_batch_size=min(problem.n, 64),
        )
        return Computed(analyzer.load_pairwise_scores("scores")["all_modules"])


PEERS = [
    Variant(
        "nngeometry",
        nngeometry,
        needs=nngeometry_bytes,
        holds="a batch",
        package="nngeometry",
        module="nngeometry",
        work="nngeometry",
    ),
    Variant(
        "kronfluence",
        kronfluence,
        needs=lambda problem: 2 * 4 * problem.n * problem.p,
        package="kronfluence",
        module="kronfluence",
    ),
    Variant("backpack", backpack, needs=n_by_p, package="backpack-for-pytorch", module="backpack", work="rows"),
    Variant("opacus", opacus, needs=n_by_p, package="opacus", module="opacus", work="rows"),
    Variant("trak", trak, needs=n_by_p, package="traker", module="trak", work="rows"),
]
