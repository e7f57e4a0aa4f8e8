"""The parts of a figure that tests look at."""


def lines_of(axis, gid):
    """Return the lines of an axis that carry a mark."""
    return [line for line in axis.get_lines() if line.get_gid() == gid]


def legend_of(figure):
    """Return all texts of a figure's legends."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]
