"""The picture of the most frequent words."""

from matplotlib import pyplot


def draw(most: list[tuple[str, int]], path: str) -> None:
    """Draw a bar for each word, the most frequent one on top."""
    words, numbers = zip(*reversed(most), strict=True)
    figure, axes = pyplot.subplots(figsize=(8, 4), dpi=100)
    axes.bar_label(axes.barh(words, numbers, color="tab:blue"), fmt="{:,.0f}", padding=3)
    axes.margins(x=0.12)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
