"""The production image, really built and really run: what it does, what it may not do, and what is not in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import uuid
from importlib.metadata import PathDistribution, version
from pathlib import Path

import pytest
import skimage.data
from packageurl import PackageURL
from PIL import Image

from infra import container as container_flags
from loadtest.bench.image_sizes import compressed_bytes
from pipeline import contents
from service.model.bundle import Bundle
from tests.conftest import encode
from tests.container.conftest import COMMIT, Container, build, docker, inspect, started
from tests.container.cyclonedx import complaint

pytestmark = pytest.mark.image

MAX_BYTES = 250_000_000
MAX_COMPRESSED_BYTES = 80_000_000


@pytest.fixture(scope="module")
def digit(digits_bundle: Bundle) -> bytes:
    return (digits_bundle.path / "samples" / "digit-5.png").read_bytes()


@pytest.fixture(scope="module")
def content(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's whole file system, as a tar file."""
    file = tmp_path_factory.mktemp("content") / "image.tar"
    identifier = docker("create", image).stdout.strip()
    docker("export", "--output", str(file), identifier)
    docker("rm", identifier)
    return file


@pytest.fixture(scope="module")
def members(content: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(content) as tar:
        return {member.name: member for member in tar.getmembers()}


def read(content: Path, name: str) -> bytes:
    with tarfile.open(content) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


class TestRunning:
    def test_it_classifies(self, container: Container, digit: bytes) -> None:
        answer = container.request("POST", "/predict", digit)
        assert (answer.status, answer.json()["predictions"][0]["label"]) == (200, "5")

    def test_version_names_the_commit_and_the_bundle(self, container: Container, content: Path) -> None:
        version = container.request("GET", "/version").json()
        assert version["commit"] == COMMIT
        manifest = read(content, "app/model/manifest.json")
        assert version["model"]["bundle_sha256"] == hashlib.sha256(manifest).hexdigest()

    def test_it_runs_as_nobody_with_no_capability(self, container: Container) -> None:
        status = container.process_status()
        assert status["Uid"].split() == ["10001"] * 4
        assert status["Gid"].split() == ["10001"] * 4
        assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"

    def test_its_limits_are_set(self, container: Container) -> None:
        limits = inspect(container.name)["HostConfig"]
        assert limits["ReadonlyRootfs"] is True
        assert limits["PidsLimit"] == container_flags.processes()
        assert 0 < limits["Memory"] <= 2**31
        assert limits["Privileged"] is False

    def test_nothing_can_be_written_but_memory(self, container: Container) -> None:
        """Asked of every folder, from inside, as the server's user."""
        code = (
            "import os\n"
            "for folder, folders, _ in os.walk('/'):\n"
            "    folders[:] = [] if folder in ('/proc', '/sys') else folders\n"
            "    try:\n"
            "        open(folder + '/x', 'w').close(); os.unlink(folder + '/x'); print(folder)\n"
            "    except OSError: pass\n"
        )
        writable = set(container.python(code).stdout.split())
        assert writable == {"/tmp", "/dev/shm", "/dev/mqueue"}  # noqa: S108  # all three are memory, of limited size
        mounts = container.python("print(open('/proc/mounts').read())").stdout.splitlines()
        kinds = {line.split()[1]: line.split()[2] for line in mounts if line}
        assert {kinds[folder] for folder in writable} <= {"tmpfs", "mqueue"}

    def test_its_children_are_reaped(self, container: Container) -> None:
        """PID 1 adopts what others leave behind: a process whose parent ended must not stay as a zombie."""
        code = "import os, time\nif os.fork() == 0:\n    if os.fork() == 0: time.sleep(0.2)\n    os._exit(0)\nos.wait()"
        assert container.python(code).returncode == 0
        for _ in range(50):
            states = docker("top", container.name, "-eo", "pid,stat").stdout.splitlines()[1:]
            if len(states) == 2:
                break
            time.sleep(0.2)
        assert len(states) == 2, states
        assert not [state for state in states if "Z" in state.split()[1]]

    def test_there_is_no_shell_and_no_pip(self, container: Container) -> None:
        for program in ("sh", "bash", "dash", "apt", "dpkg", "pip", "perl", "curl", "wget", "gcc", "su", "mount"):
            assert docker("exec", container.name, program, check=False).returncode in (126, 127), program
        for module in ("pip", "ensurepip", "torch", "openvino_telemetry", "service.build"):
            assert container.python(f"import {module}").returncode == 1, module

    def test_the_health_check_follows_the_process(self, container: Container) -> None:
        check = ["exec", container.name, "python3", "-S", "/app/healthcheck.py"]
        assert docker(*check, check=False).returncode == 0
        assert docker("exec", "--env", "PORT=1", *check[1:], check=False).returncode == 1


def test_it_needs_no_network(image: str, tmp_path: Path) -> None:
    """Without any interface but its own: it starts, and answers its own known answers."""
    with started(image, tmp_path, "--health-interval", "1s", network="none") as container:
        for _ in range(100):
            state = inspect(container.name)["State"] if container.exists() else {}
            if state.get("Health", {}).get("Status") == "healthy":
                break
            time.sleep(0.2)
        assert state["Health"]["Status"] == "healthy"
        code = (
            "import os, urllib.error, urllib.request as u\n"
            "url = f'http://127.0.0.1:{os.environ[\"PORT\"]}'\n"
            "while True:\n"
            "    try: print(u.urlopen(url + '/readyz').status); break\n"
            "    except urllib.error.HTTPError: pass\n"
            "body = open('/app/model/samples/digit-5.png', 'rb').read()\n"
            "print(u.urlopen(u.Request(url + '/predict', body)).read().decode())\n"
        )
        first, second, *_ = container.python(code).stdout.splitlines()
        assert first == "200"
        assert json.loads(second)["predictions"][0]["label"] == "5"


def test_sigterm_drains_and_ends_with_0(image: str, tmp_path: Path, digit: bytes) -> None:
    with started(image, tmp_path, DRAIN_SEC=2) as container:
        container.wait_until_ready()
        began = time.monotonic()
        docker("kill", "--signal", "TERM", container.name)
        time.sleep(0.5)
        assert container.request("GET", "/readyz").status == 503
        assert container.request("POST", "/predict", digit).status == 200
        assert container.process.wait(timeout=30) == 0
        assert time.monotonic() - began < 30


def test_the_worst_that_clients_can_send_does_not_exhaust_its_memory(image: str, tmp_path: Path) -> None:
    """Thirty clients with the largest accepted pictures of the most expensive kind, and with the largest bodies."""
    picture = encode(Image.new("RGB", (5000, 5000), (1, 2, 3)), "WEBP")
    bodies = [picture, picture[:-1] + bytes(19_900_000)]
    with started(image, tmp_path) as container:
        container.wait_until_ready()
        before = inspect(container.name)["State"]["Pid"]
        statuses: list[int] = []

        def client(body: bytes) -> None:
            for _ in range(2):
                statuses.append(container.request("POST", "/predict", body).status)  # noqa: PERF401  # shared

        clients = [threading.Thread(target=client, args=(bodies[number % 2],)) for number in range(30)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(120)
        assert len(statuses) == 60
        assert set(statuses) <= {200, 422, 429}
        state = inspect(container.name)["State"]
        assert (state["Pid"], state["OOMKilled"], state["Running"]) == (before, False, True)
        ready = [line for line in container.lines() if line["message"].startswith("ready: ")]
        assert len(ready) == 1  # no worker was replaced
        assert container.request("POST", "/predict", picture).status == 200


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"ENGINE": "tpu"}, 2, "ENGINE='tpu': expected one of auto, openvino, onnxruntime, ncnn, torch"),
        (
            {"ENGINE": "ncnn"},
            3,
            "ENGINE=ncnn is not in this image, which holds openvino: leave it away, or build it with PRECISION=fp32.",
        ),
        ({"ENGINE": "torch"}, 3, "ENGINE=torch is not in this image, which holds openvino: leave it away."),
        (
            {"PRECISION": "fp32"},
            3,
            "/app/model holds no fp32 network, because it is packed for int8: leave ENGINE and PRECISION away, or",
        ),
    ],
    ids=["no engine", "not in this image", "in no image", "no network"],
)
def test_a_setting_that_it_cannot_follow_ends_it_with_a_sentence(
    settings: dict[str, str], code: int, sentence: str, image: str, tmp_path: Path
) -> None:
    with started(image, tmp_path, **settings) as container:
        assert container.process.wait(timeout=30) == code
        (said,) = container.log.read_text().splitlines()
        assert sentence in said


def test_an_image_of_fp32_is_served_by_ncnn(image: str, context: Path, tmp_path: Path, digits_bundle: Bundle) -> None:
    """For bundles whose INT8 failed its gate, and for who asks for it; ncnn wants nowhere to write."""
    assert build(context, "classifier:fp32", "--build-arg", "PRECISION=fp32").returncode == 0
    with started("classifier:fp32", tmp_path) as container:
        container.wait_until_ready()
        model = container.request("GET", "/version").json()["model"]
        assert (model["engine"], model["precision"]) == ("ncnn", "fp32")
        digit = (digits_bundle.path / "samples" / "digit-3.png").read_bytes()
        assert container.request("POST", "/predict", digit).json()["predictions"][0]["label"] == "3"
        code = "import json, openvino; print([item['purl'] for item in json.load(open('sbom.cdx.json'))['components']])"
        assert "pkg:pypi/ncnn@" in container.python(code).stdout
    docker("rmi", "classifier:fp32")


class TestContent:
    def test_no_setuid_or_world_writable_file(self, members: dict[str, tarfile.TarInfo]) -> None:
        files = {name: member for name, member in members.items() if member.isfile() and not name.startswith("dev/")}
        assert [name for name, member in files.items() if member.mode & 0o6000] == []
        assert [name for name, member in files.items() if member.mode & 0o002] == []

    def test_no_history_no_secret_no_build_tool(self, members: dict[str, tarfile.TarInfo], image: str) -> None:
        forbidden = re.compile(
            r"(^|/)(torch|torchvision|pip|setuptools|gcc|apt|\.git|\.ssh|\.aws|\.config|\.bash_history|\.python_history|"
            r"\.netrc|\.env|\.pypirc|tests?)(/|$)|\.(key|pth|p12|sh|whl|a|o|h|pyi)$"
        )
        allowed = re.compile(r"usr/share/doc/[^/]+(/copyright)?$")
        assert [name for name in members if forbidden.search(name) and not allowed.match(name)] == []
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
        assert "BEGIN CERTIFICATE" not in history
        settings = [entry.split("=")[0] for entry in inspect(image)["Config"]["Env"]]
        assert sorted(settings) == sorted(
            ["PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HOST", "PORT", "MODEL_DIR", "COMMIT"]
        )

    def test_only_the_engine_that_runs(self, members: dict[str, tarfile.TarInfo]) -> None:
        libraries = {Path(name).name.split(".so")[0] for name in members if "openvino/libs/" in name}
        assert libraries == {
            "libopenvino",
            "libopenvino_intel_cpu_plugin",
            "libopenvino_onnx_frontend",
            "libtbb",
        }
        assert [name for name in members if "ncnn" in name and "/service/" not in name] == []

    def test_no_library_that_nothing_in_it_loads(self, members: dict[str, tarfile.TarInfo]) -> None:
        """Such as those of the package manager, which are most of Debian's."""
        libraries = {
            Path(name).name.partition(".so")[0] for name in members if re.match(r"usr/lib/[^/]*-gnu/lib", name)
        }
        assert {"libc", "libcrypto", "libstdc++", "libz", "libnss_dns", "libgcc_s"} <= libraries
        assert not libraries & {
            "libapt-pkg",
            "libdb-5",
            "libgnutls",
            "libgcrypt",
            "libncursesw",
            "libpam",
            "libsystemd",
        }

    def test_one_network(self, members: dict[str, tarfile.TarInfo], digits_bundle: Bundle) -> None:
        served = digits_bundle.manifest.networks[digits_bundle.manifest.default_precision]
        networks = [name for name in members if name.startswith("app/model/") and Path(name).name.startswith("network")]
        assert networks == [f"app/model/{served}"]

    def test_the_only_programs_are_python(self, members: dict[str, tarfile.TarInfo]) -> None:
        programs = [name for name in members if re.match(r"(usr/)?(local/)?s?bin/.", name)]
        assert programs
        assert all(Path(name).name.startswith("python3") for name in programs), programs

    def test_byte_code_is_there_so_that_starting_is_quick(self, members: dict[str, tarfile.TarInfo]) -> None:
        sources = [name for name in members if name.startswith("app/") and name.endswith(".py")]
        compiled = {name for name in members if name.endswith(".pyc")}
        assert sources
        missing = [
            name
            for name in sources
            if f"{Path(name).parent}/__pycache__/{Path(name).stem}.cpython-311.pyc" not in compiled
        ]
        assert missing == []

    def test_every_python_package_brings_its_licence(self, members: dict[str, tarfile.TarInfo]) -> None:
        folders = {str(Path(name).parent) for name in members if name.endswith(".dist-info/METADATA")}
        assert len(folders) > 10
        for folder in folders:
            texts = [n for n in members if n.startswith(folder) and re.search(r"(?i)licen[cs]e|copying|notice", n)]
            assert texts, folder

    def test_every_debian_package_brings_its_licence(self, content: Path, members: dict[str, tarfile.TarInfo]) -> None:
        status = read(content, "var/lib/dpkg/status").decode()
        packages = re.findall(r"^Package: (.*)\nStatus: install ok installed", status, re.MULTILINE)
        assert len(packages) > 30
        for package in packages:
            folder = f"usr/share/doc/{package}"
            assert f"{folder}/copyright" in members or members[folder].issym(), package

    def test_the_list_of_contents_is_valid_and_complete(self, content: Path, context: Path, tmp_path: Path) -> None:
        """CycloneDX 1.6; every package in the image is in it with its version, and every pin but ncnn in the image."""
        text = read(content, "app/sbom.cdx.json").decode()
        assert complaint(text) is None
        purls = {component["purl"] for component in json.loads(text)["components"]}
        pins = contents.pinned(context / "requirements" / "serve.txt").items() - {("ncnn", version("ncnn"))}
        assert {purl for purl in purls if purl.startswith("pkg:pypi/")} == {f"pkg:pypi/{n}@{v}" for n, v in pins}
        with tarfile.open(content) as tar:
            infos = [m for m in tar.getmembers() if re.fullmatch(r"app/packages/[^/]+\.dist-info/METADATA", m.name)]
            tar.extractall(tmp_path, infos, filter="data")
        installed = [PathDistribution(path) for path in (tmp_path / "app" / "packages").glob("*.dist-info")]
        assert {(re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(), d.version) for d in installed} == pins
        debian = [PackageURL.from_string(purl) for purl in purls if purl.startswith("pkg:deb/debian/")]
        assert len(debian) > 30
        assert {purl.qualifiers["distro"] for purl in debian} == {"debian-12"}
        # Debian's advisories name glibc and openssl, which no package is called.
        assert {"glibc", "openssl"} <= {purl.qualifiers.get("upstream", "").partition("@")[0] for purl in debian}


class TestImage:
    def test_labels_say_what_it_is(self, image: str) -> None:
        labels = inspect(image)["Config"]["Labels"]
        prefix = "org.opencontainers.image."
        assert labels[prefix + "revision"] == COMMIT
        assert labels[prefix + "licenses"] == "Apache-2.0"
        assert {prefix + name for name in ("title", "description", "version")} <= set(labels)

    def test_it_is_small(self, image: str) -> None:
        assert inspect(image)["Size"] <= MAX_BYTES

    def test_layers_are_reproducible(self, image: str, context: Path, tmp_path: Path) -> None:
        """Built again from nothing, from another checkout made at another time: the same layers."""
        again = tmp_path / "again"
        shutil.copytree(context, again, copy_function=shutil.copyfile)
        for script in (again / "container").glob("*.sh"):
            script.chmod(0o755)
        assert build(again, "classifier:again", "--no-cache").returncode == 0
        assert inspect("classifier:again")["RootFS"]["Layers"] == inspect(image)["RootFS"]["Layers"]
        docker("rmi", "classifier:again")

    def test_a_change_of_code_changes_one_layer(self, image: str, context: Path, tmp_path: Path) -> None:
        changed = tmp_path / "changed"
        shutil.copytree(context, changed)
        with (changed / "service" / "model" / "processors.py").open("a") as file:
            file.write("\n# a change\n")
        assert build(changed, "classifier:changed").returncode == 0
        before, after = (inspect(name)["RootFS"]["Layers"] for name in (image, "classifier:changed"))
        assert len(before) == len(after)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        docker("rmi", "classifier:changed")

    def test_a_change_of_the_server_builds_no_model_again(self, image: str, context: Path, tmp_path: Path) -> None:
        """With the official weights that would be minutes, at every change of a page."""
        changed = tmp_path / "changed"
        # Another one in each run: the engine's cache remembers those of earlier ones.
        change = f"\n# a change, {uuid.uuid4()}\n"
        shutil.copytree(context, changed)
        for name, again in (("serve/http/predict.py", False), ("model/bundle.py", True)):
            with (changed / "service" / name).open("a") as file:
                file.write(change)
            result = build(changed, "classifier:changed", "--progress=plain")
            assert result.returncode == 0
            (number,) = set(re.findall(r"#(\d+) \[model-local [^]]*\] RUN", result.stderr))
            assert (f"#{number} CACHED" not in result.stderr) is again
        docker("rmi", "classifier:changed")


@pytest.fixture(scope="module")
def with_wheels(context: Path, base: str) -> Path:
    """The context with PyTorch's wheel in wheels/, where this machine has it in a folder instead of an index."""
    for folder in os.environ.get("PIP_FIND_LINKS", "").split():
        for wheel in Path(folder).glob("torch-*.whl"):
            (context / "wheels").mkdir(exist_ok=True)
            shutil.copy(wheel, context / "wheels")
    return context


class TestModeling:
    """The stage with PyTorch."""

    def test_a_checkout_without_wheels_is_enough(self, context: Path, base: str, tmp_path: Path) -> None:
        checkout = tmp_path / "checkout"
        shutil.copytree(context, checkout, ignore=shutil.ignore_patterns("wheels"))
        result = build(checkout, "classifier:requirements", "--target", "requirements")
        assert result.returncode == 0, result.stderr[-3000:]
        docker("rmi", "classifier:requirements")

    def test_an_image_of_lite0_builds_its_model_and_leaves_pytorch_behind(
        self, with_wheels: Path, base: str, tmp_path: Path
    ) -> None:
        """`make image WEIGHTS=lite0`: it knows things, needs what INT8 needs and no more, and is small to pull."""
        result = build(with_wheels, "classifier:built", weights="lite0")
        assert result.returncode == 0, result.stderr[-3000:]
        with started("classifier:built", tmp_path) as container:
            container.wait_until_ready()
            model = container.request("GET", "/version").json()["model"]
            assert (model["weights"], model["precision"], model["engine"]) == ("lite0", "int8", "openvino")
            coffee = encode(Image.fromarray(skimage.data.coffee()), "JPEG")  # type: ignore[no-untyped-call]
            answer = container.request("POST", "/predict", coffee).json()
            assert answer["predictions"][0]["label"] == "espresso"
            for module in ("torch", "ncnn"):
                assert container.python(f"import {module}").returncode == 1
        assert compressed_bytes("classifier:built") <= MAX_COMPRESSED_BYTES
        docker("rmi", "classifier:built")

    @pytest.mark.parametrize("weights", ["auto", "lite1"])
    def test_an_image_is_of_weights_that_were_asked_for_by_name(self, weights: str, context: Path, base: str) -> None:
        """Neither of whatever can be had nor of a name that is none: known before PyTorch is installed."""
        result = build(context, "classifier:refused", "--target", "weights", weights=weights)
        assert result.returncode != 0
        assert f"WEIGHTS={weights} ARCH=: an image is built of official, " in result.stderr
        assert "and never of a stand-in" in result.stderr

    def test_official_weights_are_never_substituted(self, with_wheels: Path) -> None:
        """Where they cannot be reached, the build stops and says so."""
        try:
            socket.create_connection(("download.pytorch.org", 443), timeout=5).close()
        except OSError:
            result = build(with_wheels, "classifier:official", weights="official")
            assert result.returncode != 0
            assert "resnet18-f37072fd.pth cannot be fetched" in result.stderr
        else:
            assert build(with_wheels, "classifier:official", weights="official").returncode == 0


def test_the_flags_are_given_where_they_are_read(image: str) -> None:
    """A flag that run.sh did not pass on would be a hardening that nobody has."""
    result = subprocess.run(
        [Path(__file__).parents[2] / "container" / "run.sh", image, "--read-only"],
        env={"PATH": "/bin:/usr/bin", "DOCKER": "echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    given = result.stdout.split()
    for flag in ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--user=10001:10001"):
        assert flag in given
