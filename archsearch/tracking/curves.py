"""Learning curves, drawn without a display and without matplotlib's global state."""

import io
from collections.abc import Mapping

from archsearch.drawing import own_style
from archsearch.tracking.run_names import one_line

_PANELS = (
    ("loss", (("loss", "train"), ("val_loss", "validation"))),
    ("accuracy", (("accuracy", "train"), ("val_accuracy", "validation"))),
)


def learning_curves_png(history: Mapping[str, Mapping[int, float]], *, title: str) -> bytes:
    """Draw loss and accuracy over epochs.

    Args:
        history: metric → epoch → value, for `loss`, `accuracy`, `val_loss`, `val_accuracy`; other
            metrics are left out, and so is what is missing.
        title: the run's name.

    Returns:
        A PNG image.
    """
    with own_style():
        return _drawn(history, title)


def _drawn(history: Mapping[str, Mapping[int, float]], title: str) -> bytes:
    # Not pyplot: it keeps figures in global state, and this is drawn off the main thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8.0, 3.2), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(one_line(title), fontsize=10)
    for axes, (name, lines) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for metric, label in lines:
            points = sorted(history.get(metric, {}).items())
            if points:
                epochs, values = zip(*points, strict=True)
                axes.plot(epochs, values, marker="o", markersize=3, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    # By hand: the automatic layouts take as long as the drawing.
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.15, top=0.88, wspace=0.22)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
