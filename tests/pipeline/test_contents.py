"""The step `contents`: what is known of an image's packages, and what of it stops a release."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import accepted, answers, contents, osv, settings
from pipeline.errors import StepFailed
from pipeline.osv import Package
from service.model.engines.table import ENGINES, PREFERRED
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import complaint, python, run
from tests.pipeline.osv_database import Database, database  # noqa: F401  # a fixture

PILLOW = Package("PyPI", "pillow", "13.0.0")
OPENSSL = Package("Debian:12", "openssl", "3.0.17-1~deb12u2")
PURLS = [
    "pkg:pypi/pillow@13.0.0",
    # Two packages of one source, whose version is not that of the second.
    "pkg:deb/debian/openssl@3.0.17-1~deb12u2?arch=amd64&distro=debian-12",
    "pkg:deb/debian/libssl3@3.0.17-1~deb12u2%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.17-1~deb12u2",
]
TODAY = dt.date(2026, 11, 27)
Check = Callable[..., None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the steps before have left, of an image with two packages."""
    monkeypatch.chdir(tmp_path)
    contents.SBOM.parent.mkdir()
    contents.SBOM.write_text(json.dumps({"components": [{"purl": purl} for purl in PURLS] + [{"name": "no purl"}]}))
    answers.MANIFEST.write_text('{"default_precision": "int8"}')
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "serve.txt").write_text(
        "Pillow==13.0.0 \\\n    --hash=sha256:0\nncnn==1 \\\n    --hash=sha256:0\n"
    )
    return tmp_path


@pytest.fixture
def check(database: Database, folder: Path) -> Check:  # noqa: F811  # the fixture
    def check(*entries: str, today: dt.date = TODAY) -> None:
        (folder / "accepted.toml").write_text("".join(f"[[accepted]]\n{entry}\n" for entry in entries))
        contents.check(settings.Settings(accepted="accepted.toml", osv_url=database.url), today)

    return check


def entry(identifier: str = "CVE-2026-1", package: str = "openssl", until: str = "2026-11-27") -> str:
    return f'id = "{identifier}"\npackage = "{package}"\nreason = "Nobody reaches it."\nuntil = {until}'


def test_packages_of_which_nothing_is_known_pass(
    check: Check,
    database: Database,  # noqa: F811  # the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each source package is asked for once, whatever number of packages it makes."""
    check()
    assert capsys.readouterr().out.splitlines() == [
        "contents: 1 Python packages, as pinned for int8",
        "contents: no vulnerability that could be mended is known in 2 packages",
    ]
    assert database.asked == ["/v1/querybatch"]


@pytest.mark.parametrize(
    ("precision", "held", "different"),
    [
        ("int8", ["pillow@13.0.0"], ""),
        ("int8", ["pillow@13.0.0", "ncnn@1"], "ncnn 1"),
        ("fp32", ["pillow@13.0.0", "ncnn@1"], ""),
        ("fp32", ["pillow@13.0.0"], "ncnn 1"),
    ],
)
def test_an_image_holds_the_engines_of_what_it_serves_and_no_other(
    precision: str, held: list[str], different: str, folder: Path
) -> None:
    packages = [osv.Package("PyPI", *purl.split("@")) for purl in held]
    requirements = folder / "requirements" / "serve.txt"
    if different:
        with pytest.raises(StepFailed, match=rf"says for {precision} \(different: {different}\): build it from this"):
            contents.compare(packages, requirements, precision)
    else:
        assert contents.compare(packages, requirements, precision) == len(held)


def test_which_engines_are_left_out_is_what_the_table_of_engines_says() -> None:
    pins = contents.pinned(REPOSITORY / "requirements" / "serve.txt")
    engines = {ENGINES[name].package for names in PREFERRED.values() for name in names}
    assert engines <= pins.keys()
    for precision, names in PREFERRED.items():
        assert contents.LEFT_OUT[precision] == engines - {ENGINES[name].package for name in names}


@pytest.mark.parametrize(
    ("package", "fixed", "line"),
    [
        (PILLOW, "13.0.1", "pillow 13.0.0: TEST-1, CVE-2026-1 (fixed in 13.0.1)"),
        (PILLOW, "", "pillow 13.0.0: TEST-1, CVE-2026-1 (no fix yet)"),
        (OPENSSL, "3.0.18", "openssl 3.0.17-1~deb12u2: TEST-1, CVE-2026-1 (fixed in 3.0.18)"),
    ],
    ids=["Python", "Python without a fix", "Debian"],
)
def test_what_somebody_can_mend_stops_a_release(
    package: Package,
    fixed: str,
    line: str,
    check: Check,
    database: Database,  # noqa: F811  # the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    database.add(package, "TEST-1", fixed, aliases=["CVE-2026-1"])
    with pytest.raises(StepFailed, match=r"^the image holds known vulnerabilities, listed above: raise"):
        check()
    assert f"contents: {line}\n" in capsys.readouterr().out


def test_what_debian_has_not_fixed_is_told_and_stops_nothing(
    check: Check,
    database: Database,  # noqa: F811  # the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    database.add(OPENSSL, "TEST-1")
    database.add(OPENSSL, "TEST-2")
    check()
    assert (
        "contents: 2 known vulnerabilities without a fix in Debian yet, which stop nothing: "
        "2 in openssl 3.0.17-1~deb12u2\n"
    ) in capsys.readouterr().out


def test_what_was_withdrawn_is_none(check: Check, database: Database) -> None:  # noqa: F811  # the fixture
    database.add(PILLOW, "TEST-1", "99", withdrawn="2026-01-01T00:00:00Z")
    check()


class TestAccepted:
    @pytest.mark.parametrize("identifier", ["DEBIAN-CVE-2026-1", "CVE-2026-1"], ids=["the database's name", "another"])
    def test_one_passes_until_its_last_day(
        self,
        identifier: str,
        check: Check,
        database: Database,  # noqa: F811  # the fixture
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        database.add(OPENSSL, "DEBIAN-CVE-2026-1", "99", upstream=["CVE-2026-1"])
        check(entry(identifier))
        assert "DEBIAN-CVE-2026-1, CVE-2026-1 (fixed in 99): accepted for a time\n" in capsys.readouterr().out
        with pytest.raises(StepFailed, match=r"accepted\.toml accepts \S+ of openssl until 2026-11-27, which is over"):
            check(entry(identifier), today=TODAY + dt.timedelta(1))

    @pytest.mark.parametrize("other", [entry("CVE-2026-2"), entry(package="pillow")], ids=["id", "package"])
    def test_one_passes_nothing_else(
        self,
        other: str,
        check: Check,
        database: Database,  # noqa: F811  # the fixture
    ) -> None:
        database.add(OPENSSL, "CVE-2026-1", "99")
        with pytest.raises(StepFailed, match="known vulnerabilities"):
            check(other)

    def test_one_that_nothing_has_is_told(self, check: Check, capsys: pytest.CaptureFixture[str]) -> None:
        check(entry())
        assert "accepts CVE-2026-1 of openssl, which nothing has: remove it\n" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "content",
        [
            'id = "CVE-2026-1"',
            f'{entry()}\nmore = "x"',
            entry(until='"2026-12-31"'),
            entry(until="2026-12-31T00:00:00"),
            entry(identifier=""),
        ],
        ids=["too little", "too much", "a text for a date", "a time of day", "an empty id"],
    )
    def test_an_entry_that_says_too_little_stops_a_release(self, content: str, check: Check) -> None:
        with pytest.raises(StepFailed, match=r"^entry 1 of accepted\.toml is .*: expected the texts id, package and"):
            check(content)

    @pytest.mark.parametrize("content", ["[[accepted", "ignored = []\n", "accepted = 1\n", None])
    def test_a_list_that_cannot_be_read_stops_a_release(self, content: str | None, folder: Path) -> None:
        file = folder / "list.toml"
        if content is not None:
            file.write_text(content)
        with pytest.raises(StepFailed, match=r"^list\.toml (cannot be read|holds .*: expected \[\[accepted\]\] alone)"):
            accepted.read(file, TODAY)

    def test_the_projects_own_list_can_be_read(self) -> None:
        """And its example, once it is no comment; whether a date is over is the step's to judge, every day anew."""
        assert isinstance(accepted.read(accepted.FILE, dt.date.min), list)
        example = accepted.FILE.read_text("utf-8").partition("# [[accepted]]\n")[2].replace("# ", "", 1)
        lines = ["[[accepted]]", *(line.removeprefix("# ") for line in example.splitlines())]
        Path("example.toml").write_text("\n".join(lines))
        assert len(accepted.read(Path("example.toml"), TODAY)) == 1


class TestTheDatabase:
    def test_an_answer_in_pages_is_read_to_its_end(self, database: Database) -> None:  # noqa: F811  # the fixture
        database.page_size = 2
        for number in range(5):
            database.add(OPENSSL, f"TEST-{number}", "99")
        database.add(PILLOW, "TEST-9", "99")
        found = osv.look_up(database.url, [PILLOW, OPENSSL])
        assert [(one.package, one.names[0]) for one in found] == [
            (PILLOW, "TEST-9"),
            *((OPENSSL, f"TEST-{number}") for number in range(5)),
        ]

    def test_more_packages_than_one_request_takes(self, database: Database) -> None:  # noqa: F811  # the fixture
        packages = [Package("PyPI", f"package-{number}", "1") for number in range(1001)]
        database.add(packages[-1], "TEST-1")
        assert [one.package for one in osv.look_up(database.url, packages)] == [packages[-1]]
        assert database.asked == ["/v1/querybatch", "/v1/querybatch", "/v1/vulns/TEST-1"]

    @pytest.mark.parametrize(
        ("refusals", "pauses"), [([503, 429], 2), ([500, 500, 500], None), ([400], None)], ids=["busy", "down", "wrong"]
    )
    def test_one_that_is_busy_is_asked_three_times(
        self,
        refusals: list[int],
        pauses: int | None,
        database: Database,  # noqa: F811  # the fixture
    ) -> None:
        database.refusals = list(refusals)
        waited: list[float] = []
        if pauses is None:
            with pytest.raises(StepFailed, match=rf"/v1/querybatch does not answer \(HTTP Error {refusals[0]}"):
                osv.look_up(database.url, [PILLOW], waited.append)
            assert len(database.asked) == len(refusals)
        else:
            assert osv.look_up(database.url, [PILLOW], waited.append) == []
            assert len(waited) == pauses

    @pytest.mark.parametrize("document", [[], {"results": []}, {"results": [{"vulns": [{}]}]}, {"results": [1]}])
    def test_one_that_answers_in_another_form_is_no_pass(
        self,
        document: object,
        database: Database,  # noqa: F811  # the fixture
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(osv._Database, "_request", lambda *_: document)
        with pytest.raises(StepFailed, match="answers in an unknown form"):
            osv.look_up(database.url, [PILLOW])


def step(folder: Path, osv_url: str) -> subprocess.CompletedProcess[str]:
    """Run it as the pipeline does, in a process of its own."""
    return run(python("pipeline.contents"), folder, PYTHONPATH=REPOSITORY, OSV_URL=osv_url)


def test_the_step_says_all_and_ends_well(database: Database, folder: Path) -> None:  # noqa: F811  # the fixture
    database.add(OPENSSL, "TEST-1")
    result = step(folder, database.url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("contents: ") == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r".pipeline/sbom.cdx.json is no list of contents"),
        ("{}", r".pipeline/sbom.cdx.json is no list of contents"),
        # As images of earlier commits have it: nobody could say of which Debian it is.
        (
            json.dumps({"components": [{"purl": "pkg:deb/debian/openssl@3?arch=amd64"}]}),
            ".pipeline/sbom.cdx.json is no list of contents (KeyError('distro')): build the image again.",
        ),
        (
            json.dumps({"components": [{"purl": "pkg:pypi/pillow@12"}]}),
            "the image does not hold what requirements/serve.txt says for int8 (different: pillow 12, pillow 13.0.0)",
        ),
        ("no manifest", ".pipeline/manifest.json is no manifest of a bundle (FileNotFoundError"),
        (
            "int4",
            ".pipeline/manifest.json is no manifest of a bundle (its precision is 'int4'): build the image again.",
        ),
        ("good", "nobody could say whether the image is vulnerable: http://127.0.0.1:9/v1/querybatch does not answer"),
    ],
    ids=["missing", "empty", "no release", "not as pinned", "no manifest", "no precision", "no database"],
)
def test_whatever_stops_it_is_a_sentence_and_nothing_was_changed(
    content: str | None, sentence: str, folder: Path
) -> None:
    if content is None:
        contents.SBOM.unlink()
    elif content == "no manifest":
        answers.MANIFEST.unlink()
    elif content == "int4":
        answers.MANIFEST.write_text('{"default_precision": "int4"}')
    elif content != "good":
        contents.SBOM.write_text(content)
    said = complaint(step(folder, "http://127.0.0.1:9"))
    assert said.startswith(sentence)
    assert said.endswith("Nothing was pushed or changed.")
