"""The report as a document."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.trainer_service.report.facts import DIGEST, FILE, WEIGHTS, facts
from trainer_service.report import page
from trainer_service.report.page import render
from trainer_service.store.records.parts import CrowdCount, DoubleCount
from trainer_service.store.records.training_record import SuspectCount

EVIL = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Collects the tags with their attributes, and the text in sight."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(document)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        self.words.append(" ")

    def handle_endtag(self, tag):
        while self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self._open:
            self.words.append(data)


@pytest.fixture
def report(tmp_path):
    return Reader(render(facts(tmp_path)))


@pytest.mark.parametrize(
    "fact",
    [
        "pets, version 3",
        "91.7 % of the test images right",
        "is between 74.2 % and 97.7 % (95 % confidence)",
        "cat 100.0 % 87.5 % 93.3 % 8 70",
        "dog owl 1",
        "5 epochs of at most 50; the model has the weights of epoch 3",
        "curl -F file=@picture.jpg 'http://localhost:8001/v1/predict?model=pets'",
        "150 train, 36 validation, 24 test",
        "The other images contradict the labels of 3 of 210 images",
        "cat → owl 97.0 %",
        "/suspects lists them. cat → owl",
        "By five regressions.",
        "Rejected 1",
        "broken.jpg truncated ends",
        "mobilenet_v2, 2,257,984 parameters",
        "224 by 224 pixels",
        "/weights/mobilenet_v2.weights.h5",
        "200 reused, 10 computed",
        "Seed 4711",
        "learning_rate 0.001",
        '"patience": 8',
        "keras 3.12.0",
        "preparing 3.0 s",
        DIGEST,
        WEIGHTS,
        f"saved_model.pb {FILE} 123.5 kB",
    ],
)
def test_the_report_has_the_facts(report, fact):
    assert fact in report.text


def test_it_has_the_pictures_and_what_was_said_of_them(report):
    sources = [attributes["src"] for tag, attributes in report.tags if tag == "img"]

    assert len(sources) == 2 + 10 + 1
    assert all(source.startswith("data:image/") for source in sources)
    assert re.search(r"✗ dog 44.\d % is cat", report.text)


def test_mistakes_have_their_heat_beside_them(tmp_path):
    facts_ = facts(tmp_path)
    heat = facts_.mistakes[0].picture._replace(url="data:image/jpeg;base64,aGVhdA==")
    first, *others = facts_.mistakes
    mistakes = [first._replace(heat=heat), *others]
    report = Reader(render(replace(facts_, mistakes=mistakes)))

    shown = [a["alt"] for tag, a in report.tags if tag == "img" and a["src"] == heat.url]
    assert shown == [f"What spoke for {first.predicted}"]
    assert "red, the places that spoke for its answer" in report.text
    assert "spoke for" not in Reader(render(facts_)).text


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(report):
    names = {name for name, _ in report.tags}
    attributes = [(name, value) for _, all_ in report.tags for name, value in all_.items()]

    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    assert not [
        v for name, v in attributes if name in {"href", "src"} and not v.startswith("data:")
    ]
    assert "url(" not in page._style()
    assert "@import" not in page._style()


def test_markup_in_a_label_or_a_file_name_is_text(tmp_path):
    told = facts(tmp_path, labels=(EVIL, "dog"))
    told.record.dataset.rejected[0].name = EVIL
    told.dataset.source = EVIL
    report = Reader(render(told))

    assert not [a for tag, a in report.tags if tag == "img" and "onerror" in a]
    assert report.text.count(EVIL) >= 5


def test_without_a_mistake_or_a_rejected_file_it_says_so(tmp_path):
    told = facts(tmp_path)
    told.record.dataset.reject([], {})
    test = told.manifest.metrics["test"]
    test |= {"accuracy": 1.0, "confusion_matrix": [[8, 0, 0], [0, 8, 0], [0, 0, 8]]}
    report = Reader(render(told))

    assert "Every test image was classified correctly." in report.text
    assert "Nothing was confused." in report.text
    assert "Rejected 0" in report.text


@pytest.mark.parametrize(
    ("found", "told"),
    [(SuspectCount(count=0, images=210), True), (None, False)],
)
def test_without_wrong_labels_it_says_so_if_they_were_looked_for(tmp_path, found, told):
    facts_ = facts(tmp_path)
    facts_.record.suspects = found
    report = Reader(render(facts_))
    assert ("Labels that look wrong None of the 210 images." in report.text) is told


@pytest.mark.parametrize(
    ("doubles", "told"),
    [
        (None, "Near doubles not looked for"),
        (DoubleCount(groups=0, images=0), "Near doubles none"),
        (
            DoubleCount(groups=0, images=0, crowds=CrowdCount(groups=1, images=140)),
            "Near doubles none. 140 images look so much alike, in 1 group of more than a hundred",
        ),
        (DoubleCount(groups=1, images=3), "3 images in 1 group, each kept in one part"),
        (
            DoubleCount(groups=9, images=20, leaks=2, example="a.jpg (test) and b.jpg (train)"),
            "20 images in 9 groups; 2 of these in several parts, e.g. a.jpg (test) and b.jpg",
        ),
    ],
)
def test_near_doubles_and_leaks_are_told(tmp_path, doubles, told):
    facts_ = facts(tmp_path)
    facts_.record.dataset.doubles = doubles
    assert told in Reader(render(facts_)).text
