"""A folder is uploaded as its files, read as a dataset, and its pictures are shown again."""

import errno
import hashlib
import os
import zipfile
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from shared.http.head import HeadLikeGet
from shared.http.pages import add_pages
from shared.http.problems import add_problem_handlers
from shared.images.decoding import ImageLimits
from tests.support.inputs.tiny_model import picture
from trainer_service.api.uploads import FolderField, receive_upload
from trainer_service.app import PAGES, create_app
from trainer_service.datasets import dataset as dataset_module
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import DatasetLimits
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE
from trainer_service.service import dataset_images
from trainer_service.service.dataset_images import ImageQuery
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.stores import Stores

LIMITS = DatasetLimits(1 << 30, 1000, ImageLimits(1 << 20, 1 << 20))
EVIL = "<img src=x onerror=alert(1)>"
LARGE = picture((0, 100, 200)) + bytes(50_000)
TREE = {
    "pets/cat/1.png": picture("red"),
    "pets/cat/2.png": LARGE,
    f"pets/{EVIL}/1.png": picture("blue"),
    f"pets/{EVIL}/copy.png": picture("blue"),
    "pets/cat/broken.png": b"\x89PNG\r\n\x1a\nno",
}


@pytest.fixture
def receive(tmp_path):
    """Post files as a folder's and return the answer; at most ten are taken."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/")
    async def post(request: Request):
        upload = await receive_upload(request, tmp_path, 1 << 20, FolderField("files", 10))
        return [[file.field, file.name, file.path.name, file.bytes] for file in upload.files]

    def run(files):
        return ask(app, "POST", "/", files=[("files", file) for file in files])

    return run


def ask(app, method, path, **options):
    import asyncio

    async def call():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            return await client.request(method, path, **options)

    return asyncio.run(call())


def test_the_files_of_a_folder_become_one_archive_with_their_paths_for_names(receive, tmp_path):
    [[field, name, stored, size]] = receive(TREE.items()).json()

    assert (field, name) == ("files", "pets")
    assert [path.name for path in tmp_path.iterdir()] == [stored]
    assert size == (tmp_path / stored).stat().st_size
    with zipfile.ZipFile(tmp_path / stored) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == TREE


def test_paths_that_arrive_percent_encoded_are_paths(receive, tmp_path):
    """As aiohttp sends them. A name with a slash of its own is not encoded."""
    files = [("K%C3%A4tzchen%2F1.png", b"1"), ("100%25/2.png", b"2"), ("3%2.png", b"3")]
    [[_, _, stored, _]] = receive(files).json()

    with zipfile.ZipFile(tmp_path / stored) as archive:
        assert archive.namelist() == ["Kätzchen/1.png", "100%25/2.png", "3%2.png"]


def test_loose_files_are_called_by_their_number(receive):
    [[_, name, _, _]] = receive([("cat.1.png", b"a"), ("dog.1.png", b"b")]).json()

    assert name == "2 files"


def test_a_name_that_leads_elsewhere_is_only_a_name(receive, tmp_path):
    [[_, _, stored, _]] = receive([("../../escaped.png", b"a"), ("/etc/x.png", b"b")]).json()

    assert [path.name for path in tmp_path.iterdir()] == [stored]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([(f"{number}.png", b"") for number in range(11)], "HEADSTART_MAX_UPLOAD_FILES"),
        ([("a/1.png", b"1"), ("a/1.png", b"2")], "'a/1.png' twice"),
        ([("x" * 2000, b"1")], "at most 1024 characters"),
    ],
)
def test_a_folder_that_is_none_is_refused_and_leaves_nothing(receive, tmp_path, files, reason):
    answer = receive(files)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_ends_early_leaves_nothing(tmp_path, receive):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a/1.png"\r\n\r\nhalf'
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/")
    async def post(request: Request):
        await receive_upload(request, tmp_path, 1 << 20, FolderField("files", 10))

    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert ask(app, "POST", "/", content=body, headers=headers).status_code == 422
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["uploaded", "in place"])
def dataset(request, tmp_path):
    """An app, and the id of a dataset it has read; no Redis is needed for that."""
    settings = TrainerSettings(
        store=tmp_path / "store", datasets=tmp_path / "datasets", redis_url="redis://127.0.0.1:1/0"
    )
    source = tmp_path / "datasets" / "pets"
    for name, data in TREE.items():
        file = source.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    if request.param == "uploaded":
        source = tmp_path / "pets.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in TREE.items():
                archive.writestr(name, data)
    record = datasets_record(settings, source)
    return create_app(settings), record.id


def datasets_record(settings, source):
    from trainer_service.datasets.create import new_dataset

    stores = Stores.open(settings)
    record = new_dataset("pets", path=source.is_dir(), submitted=True)
    stores.datasets.create(record)
    summary = read_dataset(source, stores.datasets.directory(record.id), LIMITS, lambda *_: None)

    def fill(ready):
        ready.state, ready.in_place = DatasetState.READY, source.is_dir()
        ready.images, ready.labels = summary.images, summary.labels

    return stores.datasets.update(record.id, fill)


def test_the_images_of_a_dataset_are_listed_by_label_and_verdict_a_page_at_a_time(dataset):
    app, dataset_id = dataset
    url = f"/v1/datasets/{dataset_id}/images"
    everything = ask(app, "GET", url).json()
    cats = ask(app, "GET", url, params={"label": "cat", "verdict": "used"}).json()
    first = ask(app, "GET", url, params={"verdict": "used", "limit": 2}).json()
    second = ask(app, "GET", url, params={"verdict": "used", "after": first["after"]}).json()

    assert len(everything["images"]) == 5
    assert [image["label"] for image in cats["images"]] == ["cat", "cat"]
    assert cats["after"] is second["after"] is None
    verdicts = {image["verdict"] for image in everything["images"]}
    assert verdicts >= {"used", "duplicate"}
    names = [image["name"] for image in first["images"] + second["images"]]
    assert len(names) == len(set(names)) == 3


def test_a_used_image_is_answered_as_it_was_sent_and_can_do_nothing(dataset):
    app, dataset_id = dataset
    sha256 = hashlib.sha256(picture("blue")).hexdigest()
    answer = ask(app, "GET", f"/v1/datasets/{dataset_id}/images/{sha256}")

    assert answer.content == picture("blue")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_small_copies_are_answered_for_good_and_a_small_picture_is_its_own(dataset):
    app, dataset_id = dataset
    for data in (LARGE, picture("blue")):
        sha256 = hashlib.sha256(data).hexdigest()
        answer = ask(app, "GET", f"/v1/datasets/{dataset_id}/images/{sha256}/thumbnail")
        assert answer.status_code == 200
        assert len(answer.content) < 20_000
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        assert "sandbox" in answer.headers["content-security-policy"]
        assert (answer.content == data) == (len(data) < 20_000)


def test_a_dataset_read_before_there_were_thumbnails_has_those_of_small_pictures(dataset, tmp_path):
    app, dataset_id = dataset
    [file] = tmp_path.rglob(THUMBNAILS_FILE)
    file.unlink()
    statuses = [
        ask(
            app,
            "GET",
            f"/v1/datasets/{dataset_id}/images/{hashlib.sha256(data).hexdigest()}/thumbnail",
        ).status_code
        for data in (LARGE, picture("blue"))
    ]

    assert statuses == [404, 200]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"images/{'0' * 64}/thumbnail", 404),
        ("images/record.json/thumbnail", 422),
        (f"images/{hashlib.sha256(TREE['pets/cat/broken.png']).hexdigest()}", 404),
        (f"images/{'0' * 64}", 404),
        ("images/..%2Frecord.json", 404),
        ("images/record.json", 422),
        ("images?limit=0", 422),
        ("images?verdict=nice", 422),
        ("images?sha256=record.json", 422),
        ("images?" + "&".join([f"sha256={'0' * 64}"] * 11), 422),
    ],
)
def test_what_is_no_used_image_is_refused(dataset, path, status):
    app, dataset_id = dataset

    assert ask(app, "GET", f"/v1/datasets/{dataset_id}/{path}").status_code == status


def test_single_images_are_found_by_their_hashes(dataset):
    app, dataset_id = dataset
    images = ask(app, "GET", f"/v1/datasets/{dataset_id}/images").json()["images"]
    wanted = [images[-1]["sha256"], images[0]["sha256"], "0" * 64]
    query = "&".join(f"sha256={sha256}" for sha256 in wanted)
    found = ask(app, "GET", f"/v1/datasets/{dataset_id}/images?{query}").json()

    assert found == {
        "images": [image for image in images if image["sha256"] in wanted],
        "after": None,
    }
    assert 2 <= len(found["images"]) < len(images)


def test_the_images_of_a_dataset_that_was_not_read_are_a_conflict(tmp_path):
    from trainer_service.datasets.create import new_dataset

    settings = TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")
    record = new_dataset("pets.zip", path=False, submitted=True)
    Stores.open(settings).datasets.create(record)
    answer = ask(create_app(settings), "GET", f"/v1/datasets/{record.id}/images")

    assert answer.status_code == 409
    assert "it is queued" in answer.json()["detail"]


@pytest.fixture
def in_place(tmp_path):
    """A folder that was read, the app that answers its images, and the address of one of them."""
    settings = TrainerSettings(
        store=tmp_path / "store", datasets=tmp_path / "datasets", redis_url="redis://127.0.0.1:1/0"
    )
    source = tmp_path / "datasets" / "pets"
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (source / name).mkdir(parents=True)
        (source / name / "1.png").write_bytes(picture(colour))
    record = datasets_record(settings, source)
    dataset = Dataset.open(Stores.open(settings).datasets, settings, record.id)
    [cat] = dataset_images.list_images(dataset, ImageQuery(label="cat")).images
    return source, create_app(settings), f"/v1/datasets/{record.id}/images/{cat.sha256}"


def _link_in_place_of_the_file(source, outside):
    (source / "cat/1.png").unlink()
    (source / "cat/1.png").symlink_to(outside / "1.png")


def _link_in_place_of_its_folder(source, outside):
    (source / "cat").rename(source / "away")
    (source / "cat").symlink_to(outside)


def _link_in_place_of_the_dataset(source, outside):
    (outside / "cat").mkdir()
    (outside / "1.png").rename(outside / "cat/1.png")
    source.rename(source.with_name("away"))
    source.symlink_to(outside)


def _pipe_in_place_of_the_file(source, outside):
    (source / "cat/1.png").unlink()
    os.mkfifo(source / "cat/1.png")


@pytest.mark.parametrize("what", ["", "/thumbnail"])
@pytest.mark.parametrize(
    ("swap", "status"),
    [
        (_link_in_place_of_the_file, 404),
        (_link_in_place_of_its_folder, 404),
        (_link_in_place_of_the_dataset, 422),
        (_pipe_in_place_of_the_file, 404),
    ],
)
def test_what_is_put_in_place_of_an_image_since_it_was_read_is_not_answered(
    in_place, tmp_path, swap, status, what
):
    source, app, address = in_place
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.png").write_bytes(b"secret")
    swap(source, outside)

    answer = ask(app, "GET", address + what)

    assert answer.status_code == status
    assert b"secret" not in answer.content


def test_what_is_answered_of_an_image_is_what_was_opened(in_place, monkeypatch):
    """Between the check of a file and its answer, anything may be put in its place."""
    source, app, address = in_place
    opener = dataset_images.open_image

    def swapping(*arguments):
        opened = opener(*arguments)
        (source / "cat/1.png").unlink()
        (source / "cat/1.png").symlink_to("/etc/passwd")
        return opened

    monkeypatch.setattr(dataset_images, "open_image", swapping)

    answer = ask(app, "GET", address, headers={"Range": "bytes=0-99999"})

    assert answer.status_code == 206
    assert answer.content == picture("red")


@pytest.mark.parametrize("what", ["", "/thumbnail"])
def test_an_image_that_can_not_be_read_now_is_not_called_gone(in_place, monkeypatch, what):
    _, app, address = in_place

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(dataset_module, "open_below", stale)

    answer = ask(app, "GET", address + what)

    assert answer.status_code == 503
    assert answer.json()["detail"] == "'cat/1.png' can't be read now: Stale file handle."


def test_a_folder_that_can_not_be_looked_at_now_is_not_called_wrong(in_place, monkeypatch):
    _, app, address = in_place

    def stale(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "exists", stale)

    assert ask(app, "GET", address).status_code == 503


def test_no_answer_leaves_a_file_open(in_place):
    _, app, address = in_place
    opened = Path("/proc/self/fd")
    answers = [ask(app, "GET", address, headers={"Range": "bytes=9999999-"})]
    before = len(list(opened.iterdir()))

    answers += [ask(app, "GET", address + what) for what in ("", "/thumbnail") * 4]
    answers += [ask(app, "GET", address, headers={"Range": "bytes=9999999-"}) for _ in range(4)]

    assert len(list(opened.iterdir())) <= before
    assert {answer.status_code for answer in answers} == {200, 416}


def test_a_store_of_thumbnails_that_is_damaged_is_none(in_place):
    source, app, address = in_place
    [store] = (source.parents[1] / "store").rglob(THUMBNAILS_FILE)
    store.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)

    assert ask(app, "GET", f"{address}/thumbnail").content == picture("red")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/web/base.css", "/pages/main.js"])
def test_the_page_and_its_files_let_nothing_foreign_in(path, method):
    app = FastAPI()
    app.add_middleware(HeadLikeGet)
    add_pages(app, PAGES)
    answer = ask(app, method, path)

    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/pages/../app.py", "/pages/%2e%2e/app.py", "/web/nothing.css"])
def test_no_other_file_is_served(path):
    app = FastAPI()
    add_pages(app, PAGES)

    assert ask(app, "GET", path).status_code == 404


def test_about_tells_where_the_predictor_is_and_what_may_be_uploaded(tmp_path):
    settings = TrainerSettings(
        store=tmp_path, redis_url="redis://127.0.0.1:1/0", predictor_port=8123, max_upload_files=5
    )

    assert ask(create_app(settings), "GET", "/v1/about").json() == {
        "predictor_url": None,
        "predictor_port": 8123,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_upload_files": 5,
        "paths": False,
        "keys": False,
    }
