"""The command line as a person or a script meets it: real processes, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.model.bundle import Bundle, read
from tests.answering import answering
from tests.conftest import REPOSITORY
from tests.server import environment, free_port


def run(*arguments: str | Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        env=environment(**settings),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_error(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """One line on standard error, nothing on standard output, the exit code that scripts rely on."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")
    for part in parts:
        assert part in result.stderr


class TestClassify:
    def test_a_table_for_people(self, tiny_bundle: Bundle) -> None:
        file = tiny_bundle.path / "samples" / "green.png"
        result = run("classify", file, MODEL_DIR=tiny_bundle.path)
        lines = result.stdout.splitlines()
        assert result.returncode == 0
        assert lines[0] == str(file)
        assert lines[1].split() == [lines[1].split()[0], "%", "green"]
        assert len(lines) == 4

    def test_json_lines_for_programs(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        """A bad file is named among the good ones, and the exit code says that there was one."""
        (tmp_path / "bad.txt").write_text("hello")
        files = [tiny_bundle.path / "samples" / "green.png", tmp_path / "bad.txt", tmp_path / "missing.png"]
        result = run("classify", "--json", "--top-k", "1", "--lang", "zh", *files, MODEL_DIR=tiny_bundle.path)
        assert result.returncode == 1
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        assert [answer["file"] for answer in answers] == [str(file) for file in files]
        assert [p["label"] for p in answers[0]["predictions"]] == ["绿"]
        assert answers[1]["error"]["status"] == 415
        assert answers[2]["error"]["detail"] == "No such file or directory"
        assert result.stderr == ""

    def test_no_engine_prepares_to_report_to_its_maker(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        """ONNX Runtime would keep an identity and a queue of events in the cache."""
        file = tiny_bundle.path / "samples" / "green.png"
        homes = {"HOME": tmp_path, "XDG_CACHE_HOME": tmp_path}
        result = run("classify", file, MODEL_DIR=tiny_bundle.path, ENGINE="onnxruntime", **homes)
        assert result.returncode == 0, result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_progress_bar_on_a_terminal(self, tiny_bundle: Bundle) -> None:
        """On standard error only: standard output can be redirected."""
        files = sorted((tiny_bundle.path / "samples").iterdir())
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "classify", *map(str, files)],
            env=environment(MODEL_DIR=tiny_bundle.path),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=child,
        )
        output, _ = process.communicate(timeout=60)
        os.close(child)
        shown = os.read(parent, 100_000).decode()
        os.close(parent)
        assert process.returncode == 0
        assert "100%" in shown
        assert b"%  green" in output
        assert b"Classifying" not in output


class TestErrors:
    def test_no_model(self, tmp_path: Path) -> None:
        for command in (["serve"], ["classify", "a.jpg"]):
            result = run(*command, MODEL_DIR=tmp_path)
            assert_error(result, 3, f"{tmp_path}/manifest.json is missing", "python -m service build")

    def test_a_damaged_model(self, tiny_bundle: Bundle, tmp_path: Path) -> None:
        shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
        with (tmp_path / "bundle" / "network.onnx").open("r+b") as file:
            file.write(b"damage")
        assert_error(run("serve", MODEL_DIR=tmp_path / "bundle"), 3, "bundle/network.onnx is damaged")

    def test_bad_settings_stop_the_start_all_at_once(self) -> None:
        result = run("serve", PORT="eighty", ENGINE="tpu")
        assert_error(
            result,
            2,
            "PORT='eighty': expected a whole number from 1 to 65535",
            "ENGINE='tpu': expected one of auto, openvino, onnxruntime, ncnn, torch",
        )

    def test_a_port_in_use(self, tiny_bundle: Bundle) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            result = run("serve", MODEL_DIR=tiny_bundle.path, PORT=port)
        assert_error(result, 2, f"PORT='{port}'", "Address already in use", f"PORT={port + 1}")

    def test_a_log_file_that_cannot_be_written(self, tiny_bundle: Bundle) -> None:
        result = run("serve", MODEL_DIR=tiny_bundle.path, PORT=free_port(), LOG_FILE="/no/such/folder/log")
        assert_error(result, 2, "LOG_FILE='/no/such/folder/log'", "No such file or directory")

    def test_a_network_that_was_not_built(self, tiny_bundle: Bundle) -> None:
        result = run("serve", MODEL_DIR=tiny_bundle.path, ENGINE="torch")
        assert_error(result, 3, "holds no torchscript network", "--torchscript")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                "--weights own.pth --mean 123.675 116.28 103.53",
                "123.675 116.28 103.53: expected three numbers for pixels",
            ),
            ("--weights own.pth --std 0 1 1", "0 1 1: expected three numbers"),
            ("--weights own.pth --std nan 1 1", "nan 1 1: expected three numbers"),
            ("--mean 0.5 0.5 0.5", "--mean belongs to a checkpoint of your own; --weights official brings"),
            ("--weights auto --labels names.txt", "--labels belongs to a checkpoint of your own"),
        ],
    )
    def test_a_build_that_could_not_mean_what_it_says(self, arguments: str, message: str) -> None:
        result = run("build", *arguments.split())
        assert result.returncode == 2
        assert message in " ".join(result.stderr.split())

    def test_a_place_that_cannot_be_written(self, tiny_bundle: Bundle) -> None:
        result = run("pack", tiny_bundle.path, "/dev/null/bundle")
        assert_error(result, 3, "/dev/null/bundle", "Not a directory")

    @pytest.mark.parametrize("arguments", [["classify"], ["build", "--arch", "vgg"], ["nonsense"], ["serve", "x"]])
    def test_wrong_usage(self, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.returncode == 2
        assert "Usage:" in result.stderr


@pytest.mark.slow
class TestBuild:
    def test_official_is_never_substituted(self, tmp_path: Path) -> None:
        """The address leads nowhere here: through a proxy that is not there."""
        result = run(
            *("build", "--weights", "official", "--output", tmp_path / "bundle"),
            TORCH_HOME=tmp_path / "torch",
            https_proxy="http://127.0.0.1:9",
        )
        assert result.returncode == 3
        assert "https://download.pytorch.org/models/resnet18-f37072fd.pth cannot be fetched" in result.stderr
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "bundle").exists()

    def test_auto_says_so_and_goes_on_with_digits(self, digits_build: tuple[Bundle, str], tmp_path: Path) -> None:
        made, said = digits_build
        (paragraph,) = [line for line in said.splitlines() if "Going on with digits" in line]
        assert "The official weights cannot be had" in paragraph
        assert "The lite0 weights cannot be had" in paragraph
        assert "handwritten digits 0-9 and nothing else" in said
        assert read(made.path).manifest.weights.name == "digits"

        settings = {"TORCH_HOME": tmp_path / "torch", "https_proxy": "http://127.0.0.1:9"}
        again = run("build", "--weights", "auto", "--reuse", "--output", made.path, **settings)
        assert again.returncode == 0
        assert f"Using {made.path} (digits)" in again.stderr

    def test_another_choice_of_weights_is_not_answered_with_the_old_model(
        self, digits_bundle: Bundle, tmp_path: Path
    ) -> None:
        shutil.copytree(digits_bundle.path, tmp_path / "bundle")
        arguments = ("build", "--weights", "missing.pth", "--reuse", "--output", tmp_path / "bundle")
        assert_error(run(*arguments), 3, "missing.pth does not exist")

    def test_official_that_is_something_else_is_refused(self, tmp_path: Path) -> None:
        """A proxy answers for the host; `auto`, and it alone, would go on with other weights and say so."""

        class Wrong(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"wrong")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                pass

        server = HTTPServer(("127.0.0.1", 0), Wrong)
        code = (
            "import dataclasses, sys, service.__main__ as m, service.model.networks as n\n"
            "first, *others = n.NETWORKS\n"
            f"file = dataclasses.replace(first.file, source='http://127.0.0.1:{server.server_port}/weights')\n"
            "n.NETWORKS = (dataclasses.replace(first, file=file), *others)\n"
            f"sys.argv = ['service', 'build', '--weights', 'official', '--output', {str(tmp_path / 'bundle')!r}]\n"
            "m.main()\n"
        )
        with answering(server):
            result = subprocess.run(
                [sys.executable, "-c", code],
                env=environment(TORCH_HOME=tmp_path / "torch"),
                capture_output=True,
                text=True,
                check=False,
            )
        assert result.returncode == 3, result.stderr
        assert "gave 5 bytes with SHA-256" in result.stderr
        assert not (tmp_path / "bundle").exists()
