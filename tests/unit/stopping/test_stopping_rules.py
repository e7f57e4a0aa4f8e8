"""Stopping rules on sequences made by hand, and what holds of every rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.settings import Configuration, RuleSettings, load_configuration
from goodsubnet.settings.stopping import DEFAULT_RULES, Stopping, rule_model, rule_settings, rules
from goodsubnet.stopping.contract import rule_of
from goodsubnet.stopping.judging import Judge, answers
from goodsubnet.stopping.masks import corrected, hamming, jaccard
from goodsubnet.stopping.observation import NOT_FOR_DEEP, Observation

EVERY = sorted(DEFAULT_RULES)


def seen(iteration: int, **changed) -> Observation:
    values = {
        **{"pruned_loss": 0.5, "pruned_accuracy": 0.9, "dense_loss": 0.4, "dense_accuracy": 0.95, "trivial_loss": 0.7},
        **{"bound": 0.9, "distance": 0.1, "chosen": [0, 1], "candidates": 10, "forward_passes": {}},
    }
    return Observation(iteration, **{**values, **changed})


def settings_of(name: str, **changed) -> RuleSettings:
    return rule_settings({**DEFAULT_RULES[name], **changed})


def firing(observations: list[Observation], name: str, total: int | None = 100, **changed) -> list[bool]:
    return [answer.enough for answer in answers(observations, settings_of(name, **changed), total)]


def test_a_rule_is_a_file_with_settings_and_a_signal() -> None:
    assert {DEFAULT_RULES[name]["rule"] for name in EVERY} == set(rules())
    for rule in rules():
        assert issubclass(rule_model(rule), RuleSettings)
        found = rule_of(rule_settings({"rule": rule}))
        assert found.Settings is rule_model(rule)
        assert found.Settings.signal in (None, "pruned_loss", "bound", "chosen", "distance")


def test_plateau_waits_for_its_patience_and_begins_anew_after_an_improvement() -> None:
    losses = [1.0, 0.8, 0.79, 0.6, 0.59, 0.58, 0.3]
    found = firing([seen(10 * n, pruned_loss=loss) for n, loss in enumerate(losses)], "plateau", improvement=0.05)
    # 0.79, 0.59 and 0.58 are within 5% of the lowest before them.
    assert found == [False, False, False, False, False, True, False]
    slow = [seen(10 * n, pruned_loss=1 - 0.04 * n) for n in range(8)]
    # Four hundredths at a time: every second one is an improvement on the lowest that counted.
    assert not any(firing(slow, "plateau", improvement=0.05))
    assert firing(slow, "plateau", improvement=0.05, patience=1)[1]


def test_the_accuracy_plateau_compares_the_last_checkpoints_with_the_best_before() -> None:
    accuracies = [0.5, 0.9, 0.92, 0.93, 0.93, 0.85, 0.99]
    observations = [seen(10 * n, pruned_accuracy=accuracy) for n, accuracy in enumerate(accuracies)]
    # 0.93 is just 0.01 above 0.92, which is allowed; a relapse is no rise, and what comes later counts again.
    assert firing(observations, "accuracy_plateau") == [False, False, False, False, True, True, False]
    assert firing(observations, "accuracy_plateau", patience=1) == [False, False, False, True, True, True, False]
    assert firing(observations, "accuracy_plateau", margin=0) == [False] * 5 + [True, False]
    # However the loss falls on.
    falling = [seen(10 * n, pruned_accuracy=1.0, pruned_loss=0.1**n) for n in range(4)]
    assert firing(falling, "accuracy_plateau") == [False, False, True, True]
    assert not any(firing(falling, "plateau"))


def test_the_certificate_asks_for_both_of_its_conditions() -> None:
    bounds = [(0.8, 0.75), (0.65, 0.5), (0.56, 0.5), (0.45, 0.4)]
    found = firing([seen(n, bound=bound, dense_loss=dense) for n, (bound, dense) in enumerate(bounds)], "certificate")
    # Above the trivial 0.7; too far above the dense loss; within 0.07 of it.
    assert found == [False, False, True, True]
    (answer,) = answers([seen(0, bound=NOT_FOR_DEEP)], settings_of("certificate"), 100)
    assert not answer.enough
    assert not answer.applicable
    assert answer.why == NOT_FOR_DEEP


def test_the_last_mask_must_be_near_every_other_of_the_window() -> None:
    masks = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 5]]
    observations = [seen(n, chosen=mask) for n, mask in enumerate(masks)]
    assert firing(observations, "mask_distance") == [False, False, False, False, True, False]
    # A fifth of the mask differs at the end: 0.4 of what is expected by chance.
    assert firing(observations, "mask_distance", threshold=0.41)[-1]
    assert firing(observations, "mask_distance", measure="hamming", threshold=0.21)[-1]
    assert firing(observations, "mask_distance", window=2)[3]


def test_plain_hamming_fires_at_once_on_sparse_masks_and_the_corrected_does_not() -> None:
    """200 of 10,000 neurons: two masks with nothing in common differ in 4% of their places."""
    generator = np.random.default_rng(0)
    masks = [generator.choice(10_000, 200, replace=False).tolist() for _ in range(3)]
    observations = [seen(n, chosen=mask, candidates=10_000) for n, mask in enumerate(masks)]
    assert firing(observations, "mask_distance", measure="hamming", threshold=0.1)[-1]
    assert not firing(observations, "mask_distance")[-1]
    assert not firing(observations, "mask_jaccard")[-1]


@pytest.mark.parametrize(("one", "other"), [(20, 20), (50, 10), (300, 500), (1000, 990)])
def test_the_correction_is_the_distance_of_independent_masks(one: int, other: int) -> None:
    generator = np.random.default_rng(one)
    drawn = [[generator.choice(1000, count, replace=False).tolist() for count in (one, other)] for _ in range(400)]
    distances = np.array([corrected(*masks, 1000) for masks in drawn])
    # The mean is 1, to five of its own standard errors.
    assert abs(distances.mean() - 1) < 5 * distances.std() / 20 + 1e-12
    assert all(
        hamming(*masks, 1000) <= 2 * min(one, other, 1000 - one, 1000 - other) / 1000 + abs(one - other) / 1000
        for masks in drawn
    )


@given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19)))
def test_distances_against_arrays(one: set[int], other: set[int]) -> None:
    masks = np.zeros((2, 20), bool)
    masks[0, list(one)], masks[1, list(other)] = True, True
    different, either = int((masks[0] ^ masks[1]).sum()), int((masks[0] | masks[1]).sum())
    assert hamming(one, other, 20) == different / 20
    assert jaccard(one, other, 20) == (different / either if either else 0)
    assert corrected(one, other, 20) == corrected(other, one, 20) >= 0
    assert (corrected(one, other, 20) == 0) == (one == other)


def test_the_change_of_the_distance_is_one_an_iteration() -> None:
    # The pace is 0.01 an iteration, then 0.001, then 0.0009.
    path = [(0, 0.0), (10, 0.1), (110, 0.2), (210, 0.29)]
    observations = [seen(t, distance=d) for t, d in path]
    assert firing(observations, "weight_distance") == [False, False, False, True]
    assert firing(observations, "weight_distance", threshold=0.11) == [False, False, True, True]
    still = [seen(t, distance=0.0) for t in (0, 10, 20)]
    assert not any(firing(still, "weight_distance"))


def test_the_fixed_share_is_of_the_planned_iterations() -> None:
    observations = [seen(t) for t in (0, 49, 50, 100)]
    assert firing(observations, "fixed_share") == [False, False, True, True]
    assert firing(observations, "fixed_share", share=0) == [True] * 4
    with pytest.raises(UserError, match="fixed_share needs the planned iterations"):
        firing(observations, "fixed_share", total=None)


@st.composite
def trainings(draw: st.DrawFn) -> list[Observation]:
    number = st.floats(0.01, 1)
    count = draw(st.integers(2, 7))
    iterations = sorted(draw(st.sets(st.integers(0, 100), min_size=count, max_size=count)))
    return [
        seen(
            iteration,
            pruned_loss=draw(number),
            bound=draw(number),
            dense_loss=draw(number),
            distance=draw(number),
            chosen=sorted(draw(st.sets(st.integers(0, 9), min_size=1))),
        )
        for iteration in iterations
    ]


@pytest.mark.parametrize("name", EVERY)
@hypothesis_settings(max_examples=60, deadline=None)
@given(training=trainings(), other=trainings(), cut=st.integers(1, 6))
def test_no_rule_sees_the_future(name: str, training: list[Observation], other: list[Observation], cut: int) -> None:
    """What is said up to a checkpoint is the same whatever comes after it."""
    cut = min(cut, len(training))
    last = training[cut - 1].iteration
    later = [seen(last + 1 + each.iteration, pruned_loss=each.pruned_loss, chosen=each.chosen) for each in other]
    settings = settings_of(name)
    whole, changed = (list(answers(each, settings, 100)) for each in (training, training[:cut] + later))
    assert whole[:cut] == changed[:cut]


def test_a_judge_asks_for_checkpoints_in_order() -> None:
    judge = Judge(settings_of("plateau"), None)
    judged = judge(seen(10))
    assert (judged.accuracy, judged.loss, judged.dense_accuracy, judged.enough) == (0.9, 0.5, 0.95, False)
    assert "go on (the first checkpoint)" in str(judged)
    with pytest.raises(ValueError, match="in order"):
        judge(seen(10))


def test_rules_of_a_configuration_are_added_to_those_there_are() -> None:
    assert set(Stopping().rules) == set(DEFAULT_RULES)
    given_rules = {"patient": {"rule": "plateau", "patience": 5}, "certificate": None, "plateau": {"rule": "plateau"}}
    found = Stopping(rules=given_rules).rules
    assert set(found) == {*DEFAULT_RULES, "patient"} - {"certificate"}
    assert found["patient"].patience == 5
    # Through a dump and back, as a report does.
    assert Stopping.model_validate(Stopping(rules=given_rules).model_dump()).rules.keys() >= found.keys()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"mine": {"rule": "plateu"}}, "mine: rule 'plateu' is not one of accuracy_plateau, certificate, fixed_share"),
        ({"mine": {"patience": 2}}, "mine: needs the key rule"),
        ({"mine": {"rule": "plateau", "patience": 0}}, "mine.patience"),
        ({"mine": {"rule": "plateau", "patince": 2}}, "mine.patince: unknown key; did you mean patience?"),
        (dict.fromkeys(DEFAULT_RULES), "every rule is left out"),
    ],
)
def test_wrong_rules_are_refused_in_words(rules: dict, words: str) -> None:
    small = {"targets": ["x"], "datasets": {}, "networks": {}, "methods": {}, "experiments": {}}
    with pytest.raises(UserError) as error:
        load_configuration({**small, "stopping": {"rules": rules}})
    assert words in str(error.value)
    assert "stopping" in Configuration.model_fields
