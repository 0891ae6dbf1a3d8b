"""A training with views by real workers: shared, killed, cancelled, and its views used again."""

import re
import shutil
import time

import pytest

from tests.end_to_end.stack import digits, running_stack, zipped

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FIELDS = {"architecture": "efficientnet_lite0", "views": 2, "augment": "crop,colour"}
#: What is promised: seconds from the request to the end.
CANCEL_SECONDS = 10
PATIENCE_SECONDS = 90
#: All images are computed in shards of their own before those of views are begun.
PLAIN_SHARDS = 8


@pytest.fixture(scope="module")
def stack(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory, workers=0, redis_url=redis_url, lease_seconds=6) as running:
        yield running


@pytest.fixture(scope="module")
def archive(directory):
    return zipped(digits(directory, "038", 80))


@pytest.fixture(scope="module")
def undisturbed(stack, workers, archive):
    """What the training ends with when nothing happens to it, computed by two workers."""
    workers.start()
    workers.start()
    return stack.train(archive, model="undisturbed", **FIELDS)


@pytest.fixture
def submit(stack, archive, undisturbed):
    """Submit the same training again, to be computed from the pictures on."""

    def submit(model):
        shutil.rmtree(stack.settings.store / "features", ignore_errors=True)
        return stack.submit(archive, model=model, **FIELDS)

    return submit


def begun(workers, record):
    """Return the shards that were begun, as the workers have logged them."""
    return [
        int(re.search(r"shard=(\d+)", line)[1])
        for line in workers.log().splitlines()
        if "computing shard" in line and f"training_id={record['id']}" in line
    ]


def wait_until_views_are_computed(workers, record):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while max(begun(workers, record), default=0) < PLAIN_SHARDS:
        assert time.monotonic() < deadline, "no shard of views was begun"
        time.sleep(0.03)


def test_views_are_computed_told_and_used_again(stack, undisturbed):
    head, split = undisturbed["head"], undisturbed["dataset"]["split"]
    learnt = split["train"] + split["validation"]
    assert head["cross_validated"]
    assert set(head["view_losses"]) == {"1", "2"}
    assert head["views"] == int(min(head["view_losses"], key=head["view_losses"].get))
    assert "2 views of each training image" in head["detail"]
    assert undisturbed["cache"]["computed"] == 240
    assert undisturbed["cache"]["views_computed"] == learnt
    assert undisturbed["request"]["augment"] == ["crop", "colour"]

    url = f"/v1/trainings/{undisturbed['id']}"
    history = stack.trainer.get(f"{url}/report").json()["history"]
    assert {row["views"] for row in history} == {1, 2}
    assert {row["taps"] for row in history if row["views"] == 2} == {head["taps"]}
    pages = stack.trainer.get(f"{url}/events", headers={"Accept": "application/json"}).json()
    told = [event for event in pages["events"] if event["type"] == "strength"]
    assert [event["views"] for event in told] == [row["views"] for row in history]
    totals = {e["total"] for e in pages["events"] if e.get("phase") == "bottleneck"}
    assert totals == {240 + learnt}

    again = stack.train(model="again", dataset=undisturbed["dataset"]["id"], **FIELDS)
    assert again["metrics"] == undisturbed["metrics"]
    assert (again["cache"]["reused"], again["cache"]["computed"]) == (240, 0)
    assert (again["cache"]["views_reused"], again["cache"]["views_computed"]) == (learnt, 0)
    assert again["cache"]["seconds_saved"] > 0


def test_killed_workers_lose_only_the_shards_that_they_were_at(stack, workers, submit, undisturbed):
    record = submit("killed")
    wait_until_views_are_computed(workers, record)
    workers.kill()
    before = begun(workers, record)
    workers.start()
    workers.start()
    ended = stack.ended(record)

    assert ended["state"] == "succeeded", ended["error"]
    assert ended["metrics"] == undisturbed["metrics"]
    assert ended["head"]["view_losses"] == undisturbed["head"]["view_losses"]
    all_begun = begun(workers, record)
    assert len(all_begun) - len(set(all_begun)) <= 2, "one of each killed worker"
    assert set(before) < set(all_begun)


def test_it_is_cancelled_while_views_are_computed(stack, workers, submit):
    record = submit("cancelled")
    wait_until_views_are_computed(workers, record)
    assert stack.trainer.post(f"/v1/trainings/{record['id']}/cancel").status_code == 202
    ended = stack.ended(record, seconds=CANCEL_SECONDS)

    assert (ended["state"], ended["version"]) == ("cancelled", None)


def test_what_can_not_be_had_is_refused_in_words(stack):
    answer = stack.trainer.post("/v1/trainings", json={"dataset": "x", "augment": ["crop"]})

    assert answer.status_code == 422
    assert "with views: 1 there are none" in answer.json()["detail"]
