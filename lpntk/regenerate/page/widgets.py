"""Which widgets of an executed notebook live on a page? Those that bring HTML of their own; progress bars never.

No page loads a widget manager, and a bar could only be filled by a kernel.
"""

WIDGET = "application/vnd.jupyter.widget"
WIDGETS = "widgets"  # where the metadata of a notebook keep the state of its widgets


def without_progress(notebook: dict) -> None:
    """Remove the progress bars that tqdm draws as widgets, and the state of widgets where none is left.

    On a page they are holes, as there is no kernel to fill them, and their state is larger than all the rest. Where a
    widget stands beside HTML that shows the same without a kernel, the HTML stays.

    Args:
        notebook: as JSON gives it; changed in place.
    """
    stored = notebook["metadata"].get(WIDGETS, {}).get(f"{WIDGET}-state+json", {})
    left = 0
    for cell in notebook["cells"]:
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                data.pop(f"{WIDGET}-view+json", None)
        views = [o.get("data", {}).get(f"{WIDGET}-view+json") for o in cell.get("outputs", [])]
        bars = [view is not None and _is_progress(view["model_id"], stored.get("state", {})) for view in views]
        if "outputs" in cell:
            cell["outputs"] = [o for o, bar in zip(cell["outputs"], bars, strict=True) if not bar]
        left += sum(view is not None for view in views) - sum(bars)
    if not left:
        notebook["metadata"].pop(WIDGETS, None)


def _is_progress(model: str, state: dict[str, dict]) -> bool:
    """Return whether a widget is a progress bar, or a box that holds one, or one of which no state was kept."""
    if model not in state:
        return True
    children = state[model]["state"].get("children", [])
    inside = [child.removeprefix("IPY_MODEL_") for child in children if isinstance(child, str)]
    return "Progress" in state[model]["model_name"] or any(_is_progress(child, state) for child in inside)
