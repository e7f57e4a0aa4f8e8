"""The page of the verdicts: all is on it, every link leads somewhere, and nothing in a table is taken for HTML."""

import base64
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from claim_tables import curves, theory, two_layer

from goodsubnet.claims import CLAIMS, judge, summary
from goodsubnet.claims.page import as_html, effect_words

PNG = b"\x89PNG not drawn"


class Page(HTMLParser):
    """The tags of a page, which must close in order, its text, and where its links go."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.text, self.links, self.places, self.pictures = [], [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.links += [found["href"]] if "href" in found else []
        self.places += [found["id"]] if "id" in found else []
        self.pictures += [found["src"]] if tag == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def judgements():
    needs = 150 * np.array([1, 2, 4]) * np.exp(0.05 * np.random.default_rng(0).standard_normal((2, 3, 3)))
    return judge([two_layer(curves(needs), sizes=(100, 200, 400), name="mine <&>"), theory(movement=9)])


def test_every_claim_its_verdict_and_every_judgement_are_there(judgements):
    verdicts = summary(judgements)
    page = Page(as_html(judgements, verdicts))
    for row in verdicts.itertuples():
        assert (
            f"{row.claim} {'✓✗?–'[['holds', 'does not hold', 'undecided', 'not run'].index(row.verdict)]}" in page.words
        )
        assert page.words.count(CLAIMS[row.claim]) == 2
    assert page.words.count("✓ holds") >= (judgements["verdict"] == "holds").sum()
    for reason in judgements["reason"]:
        assert " ".join(reason.split()) in page.words
    counts = verdicts["verdict"].value_counts()
    assert f"✓ {counts['holds']} hold" in page.words
    assert not page.pictures


def test_links_lead_to_figures_that_are_embedded_once_and_to_nothing_else(judgements):
    figures = {
        ("mine <&>", "curves"): ("Curves of mine", PNG, "mine/figures/curves.png"),
        ("theory", "terms"): ("Terms", PNG, ""),
        ("", "answers"): ("Answers", None, "answers.pdf"),
    }
    page = Page(as_html(judgements, summary(judgements), figures, links={"theory": "theory/report.html"}))
    assert page.pictures == ["data:image/png;base64," + base64.b64encode(PNG).decode()] * 2
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= set(page.places)
    assert len(page.places) == len(set(page.places))
    assert {"figure-1", "figure-2"} <= set(inside)
    assert {link for link in page.links if not link.startswith("#")} == {
        *("mine/figures/curves.png", "answers.pdf", "theory/report.html")
    }


def test_answers_and_scores_are_shown_in_their_units(judgements):
    answers = pd.DataFrame(
        {
            **{
                "experiment": ["e", "e"],
                "network": ["w", "w"],
                "examples": [1000, 50000],
                "enough_at": [1546.2, np.nan],
            },
            **{"low": [1529.2, 7000], "high": [1563.4, np.inf], "share_saved": [0.807, np.nan]},
            **{"accuracy_lost": [0.00123, np.nan], "note": ["", "never <b>"]},
        }
    )
    stopping = pd.DataFrame({"rule": ["plateau"], "iterations_saved": [4000.0], "regret": [0.00123]})
    page = Page(as_html(judgements, summary(judgements), answers=answers, stopping=stopping))
    assert "e w 1,000 1,546 1,529 to 1,563 81% 0.00123" in page.words
    assert "e w 50,000 7,000 or more never <b>" in page.words
    assert "plateau 4,000 0.00123" in page.words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.25, 0.75, "slope: 0.500 (0.250 to 0.750), 3 seeds; line: above 0"),
        (0.25, np.inf, "slope: 0.500 (0.250 or more), 3 seeds; line: above 0"),
        (-np.inf, 0.75, "slope: 0.500 (0.750 or less), 3 seeds; line: above 0"),
        (-np.inf, np.inf, "slope: 0.500 (any value), 3 seeds; line: above 0"),
        (np.nan, np.nan, "slope: 0.500, 3 seeds; line: above 0"),
    ],
)
def test_effects_in_words(low, high, words):
    row = {"claim": 2, "statistic": "slope", "effect": 0.5, "low": low, "high": high, "line": "above 0", "seeds": 3}
    assert effect_words({**row, "experiment": "e"}) == words
    assert effect_words({**row, "experiment": "e", "effect": np.nan}) == ""


def test_a_page_of_nothing():
    judgements = judge([])
    assert Page(as_html(judgements, summary(judgements))).words.count("– not run") == 13 + len(judgements)
