"""What is chosen to be shown."""

from tests.trainer_service.report.facts import evaluated
from trainer_service.phases.publish.report import (
    MISTAKES,
    SAMPLES,
    answers,
    choose_mistakes,
    choose_samples,
)

LABELS = tuple(f"label {number}" for number in range(20))


def test_mistakes_are_the_most_confident_wrong_answers():
    result = evaluated(LABELS)
    chosen = answers(result, choose_mistakes(result), lambda _: None)
    predicted = result.test_probabilities.argmax(axis=1)
    wrong = result.test_probabilities.max(axis=1)[predicted != result.test_truth]

    assert len(wrong) > MISTAKES
    assert [a.probability for a in chosen] == sorted(map(float, wrong), reverse=True)[:MISTAKES]
    assert not any(answer.right for answer in chosen)


def test_samples_are_drawn_without_repetition_and_follow_the_seed():
    result = evaluated(LABELS)
    chosen = choose_samples(result, 1)

    assert len(set(chosen)) == SAMPLES
    assert chosen == choose_samples(result, 1)
    assert chosen != choose_samples(result, 2)


def test_of_few_test_images_all_are_samples():
    result = evaluated(("a", "b"), per_label=2)
    assert sorted(choose_samples(result, 0)) == [0, 1, 2, 3]
