"""The containers: what can be checked without Docker, and with it a real run."""

import json
import os
import re
import shutil
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.digits import write_digits
from launcher.services import free_port
from predictor_service.settings import PredictorSettings
from tests.support.processes.predictor_process import wait_for
from trainer_service.settings import TrainerSettings

REPOSITORY = Path(__file__).parents[3]
BASE = "docker-compose.yml"
GPU = "docker/compose.gpu.yml"
GPU_PREDICTOR = "docker/compose.gpu-predictor.yml"
DOCKERFILE = "docker/Dockerfile"
SERVICES = {"redis", "trainer", "worker", "predictor"}

VARIABLE = re.compile(r"HEADSTART_[A-Z_]+")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def variables(settings: Any) -> set[str]:
    return {f"HEADSTART_{field.upper()}" for field in settings.model_fields}


def service_of(compose: str, name: str) -> str:
    """Return the lines of one service."""
    found = re.search(rf"^  {name}:\n((?:    .*\n|\n)+)", compose, re.MULTILINE)
    assert found, name
    return found[1]


def test_every_setting_can_be_given_to_the_containers():
    named = set(VARIABLE.findall(read(BASE) + read(DOCKERFILE)))

    assert named == variables(TrainerSettings) | variables(PredictorSettings)


def test_the_documentation_names_every_variable_that_compose_reads():
    read_by_compose = set(re.findall(r"^ +(HEADSTART_[A-Z_]+):$", read(BASE), re.MULTILINE))
    read_by_compose |= set(re.findall(r"\$\{(HEADSTART_[A-Z_]+)", read(BASE)))

    assert read_by_compose <= set(VARIABLE.findall(read("docs/operations/compose.md")))


def test_only_the_two_http_services_publish_a_port_and_only_to_this_host():
    published = dict(
        re.findall(r"^  (\w+):\n(?:    .*\n|\n)*?    ports: (.+)$", read(BASE), re.MULTILINE)
    )

    assert read(BASE).count("ports:") == 2
    assert published == {
        "trainer": '["${HEADSTART_HOST:-127.0.0.1}:${HEADSTART_TRAINER_PORT:-8000}:8000"]',
        "predictor": '["${HEADSTART_HOST:-127.0.0.1}:${HEADSTART_PREDICTOR_PORT:-8001}:8001"]',
    }


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_is_hardened_restarted_and_watched(service):
    lines = service_of(read(BASE), service)

    assert "<<: *service" in lines
    assert "healthcheck:" in lines


def test_redis_has_a_password_that_trainer_and_worker_know():
    redis, trainer = service_of(read(BASE), "redis"), service_of(read(BASE), "trainer")

    assert "requirepass $$(cat password)" in redis
    assert "queue-secret:/run/queue:ro" in trainer
    assert "HEADSTART_REDIS_PASSWORD_FILE: /run/queue/password" in read(BASE)
    assert "queue" not in service_of(read(BASE), "predictor")


def test_images_are_made_of_files_that_exist_and_reach_the_build():
    copied = re.findall(r"^COPY (?!--from)(\S+) ", read(DOCKERFILE), re.MULTILINE)
    allowed = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]

    assert len(copied) > 0
    for source in copied:
        assert (REPOSITORY / source).exists()
        assert any(Path(source).match(pattern) for pattern in allowed), source


def test_images_are_built_from_targets_that_the_dockerfile_has():
    targets = re.findall(
        r"^ +target: (\S+)$", read(BASE) + read(GPU) + read(GPU_PREDICTOR), re.MULTILINE
    )

    assert targets == ["trainer", "worker", "predictor", "worker-gpu", "predictor-gpu"]
    assert set(targets) <= set(re.findall(r" AS (\S+)$", read(DOCKERFILE), re.MULTILINE))


def compose_command() -> list[str]:
    """Return `docker compose`, or the older `docker-compose`; skip where there is neither."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@pytest.mark.process
@pytest.mark.parametrize("files", [[BASE], [BASE, GPU], [BASE, GPU, GPU_PREDICTOR]])
def test_compose_accepts_its_files(files):
    options = [option for file in files for option in ("-f", file)]
    command = [*compose_command(), *options, "config", "--services"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) == SERVICES


class Stack:
    """The services as containers, in a compose project of their own."""

    def __init__(self, command: list[str]) -> None:
        self._command = [*command, "-p", f"headstart-test-{uuid.uuid4().hex[:8]}"]
        trainer, predictor = free_port(), free_port()
        self._environment = os.environ | {
            "HEADSTART_HOST": "127.0.0.1",
            "HEADSTART_TRAINER_PORT": str(trainer),
            "HEADSTART_PREDICTOR_PORT": str(predictor),
        }
        self.trainer = f"http://127.0.0.1:{trainer}"
        self.predictor = f"http://127.0.0.1:{predictor}"

    def compose(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self._command, *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what the engine tells about each container."""
        ids = self.compose("ps", "-q", *services).split()
        described: list[dict[str, Any]] = json.loads(docker("inspect", *ids))
        return described

    def is_healthy(self) -> bool:
        states = [container["State"]["Health"]["Status"] for container in self.containers()]
        return set(states) == {"healthy"}

    def train(self, archive: Path) -> dict[str, Any]:
        """Post a training with its images and return its record once it has ended."""
        form = {"model": "digits", "architecture": "efficientnet_lite0"}
        with httpx.Client(base_url=self.trainer, timeout=330) as client, archive.open("rb") as file:
            answer = client.post("/v1/trainings", data=form, files={"archive": file})
            assert answer.status_code == 202, answer.text
            record: dict[str, Any] = client.get(
                answer.headers["Location"], params={"wait": 300}
            ).json()
        return record

    def serves(self, version: int) -> bool:
        answer = httpx.get(f"{self.predictor}/v1/models/digits", timeout=10)
        return answer.is_success and answer.json()["version"] == version


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Build and start everything, with two workers; remove it afterwards."""
    if os.environ.get("HEADSTART_TEST_COMPOSE") != "1":
        pytest.skip("HEADSTART_TEST_COMPOSE=1 is not set: building the images takes minutes")
    command = compose_command()
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker daemon answers")
    stack = Stack(command)
    try:
        stack.compose("up", "-d", "--build", "--scale", "worker=2")
        wait_for(stack.is_healthy, "healthy containers", seconds=180)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "10")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """400 pictures of digits, named after what they show: enough for eight shards."""
    directory = write_digits(tmp_path_factory.mktemp("pictures") / "digits")
    return sorted(directory.iterdir(), key=lambda path: path.suffixes)[:400]


@pytest.fixture(scope="module")
def record(stack, pictures, tmp_path_factory) -> dict[str, Any]:
    """A training that the containers were given, as it ended."""
    archive = tmp_path_factory.mktemp("archive") / "digits.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for picture in pictures:
            file.write(picture, picture.name)
    return stack.train(archive)


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestContainers:
    def test_a_training_that_is_posted_is_served(self, stack, record, pictures):
        assert record["state"] == "succeeded", record["error"]
        assert record["metrics"]["test"]["accuracy"] > 0.7
        wait_for(lambda: stack.serves(record["version"]), "the predictor to load it", seconds=60)

        files = [("file", (path.name, path.read_bytes())) for path in pictures[:20]]
        answer = httpx.post(f"{stack.predictor}/v1/predict", files=files, timeout=60)

        predictions = answer.json()["predictions"]
        assert sum(p["label"] == p["file"][0] for p in predictions) >= 15

    def test_both_workers_take_shards(self, stack, record):
        logs = [docker("logs", container["Id"]) for container in stack.containers("worker")]

        assert len(logs) == 2
        assert all("training.compute_shard" in log.partition(" ready.")[2] for log in logs)

    def test_no_container_has_a_privilege_or_a_writable_root(self, stack):
        for container in stack.containers():
            assert container["Config"]["User"] == "10001:10001"
            assert container["HostConfig"]["ReadonlyRootfs"]
            assert container["HostConfig"]["CapDrop"] == ["ALL"]
            assert container["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
            assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"

    def test_the_predictor_sees_nothing_but_the_store_and_that_read_only(self, stack):
        [predictor] = stack.containers("predictor")

        assert [(m["Destination"], m["RW"]) for m in predictor["Mounts"]] == [
            ("/data/store", False)
        ]

    def test_redis_asks_for_a_password_that_the_predictor_cannot_have(self, stack):
        asked = stack.compose("exec", "-T", "redis", "redis-cli", "ping")
        code = "import os, sys; sys.exit(os.path.exists('/run/queue'))"

        assert "NOAUTH" in asked
        stack.compose("exec", "-T", "predictor", "python", "-c", code)

    def test_services_answer_under_their_names_but_not_under_a_strangers(self, stack):
        code = (
            "from urllib.request import urlopen; urlopen('http://predictor:8001/v1/models'); "
            "urlopen('http://trainer:8000/v1/models')"
        )
        stack.compose("exec", "-T", "trainer", "python", "-c", code)
        for url in (stack.trainer, stack.predictor):
            answer = httpx.get(f"{url}/v1/models", headers={"Host": "evil.example"}, timeout=10)
            assert answer.status_code == 421

    def test_only_the_two_http_ports_are_published(self, stack):
        published = {
            f"http://{binding['HostIp']}:{binding['HostPort']}"
            for container in stack.containers()
            for bindings in container["NetworkSettings"]["Ports"].values()
            for binding in bindings or []
        }

        assert published == {stack.trainer, stack.predictor}

    @pytest.mark.parametrize(
        ("service", "absent"),
        [
            ("trainer", ["tensorflow", "numpy", "predictor_service"]),
            ("predictor", ["tensorflow", "celery", "trainer_service"]),
        ],
    )
    def test_an_image_holds_only_what_its_service_needs(self, stack, service, absent):
        code = f"from importlib.util import find_spec; print([m for m in {absent} if find_spec(m)])"

        assert stack.compose("exec", "-T", service, "python", "-c", code).strip() == "[]"
