"""What are data sets and networks called before readers?"""

from pathlib import Path

DATA = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
NETWORKS = {"mlp": "MLP", "lenet5": "LeNet-5", "lenet": "the paper's LeNet", "resnet18": "ResNet-18"}


def in_words(parameters: dict[str, object]) -> str:
    """Return data set and network of a run, such as ``MNIST, LeNet-5``; repeats where it names neither."""
    if "dataset" not in parameters and "model" not in parameters:
        return f"three Gaussians, {parameters.get('seeds', 1)} repeats"
    dataset, model = str(parameters.get("dataset", "")), str(parameters.get("model", ""))
    networks = "MLPs of many widths" if "widths" in parameters else NETWORKS.get(model, model)
    words = [DATA.get(dataset, Path(dataset).name), networks]
    options = parameters.get("options") or {}
    detail = ", ".join(_option(name, value) for name, value in options.items())
    return ", ".join(filter(None, words)) + (f" ({detail})" if detail and model else "")


def _option(name: str, value: object) -> str:
    if name == "norm":
        return f"{'no' if value == 'none' else value} norm"
    return f"{name} " + (" x ".join(map(str, value)) if isinstance(value, list) else str(value))
