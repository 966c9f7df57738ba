"""The accuracy gate: what decides, what is said of how much that proves, and whose labels a folder gives."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.build import folder_labels, gate, intervals
from service.build.pictures import PictureSet
from service.model.bundle import Label
from tests.conftest import QuietReporter

_CLASSES = 3


def _judge(
    pairs: list[tuple[int, int]], labels: list[int] | None = None, photographs: int | None = None
) -> tuple[gate.Verdict, str]:
    """Judge engines that name these classes (FP32, INT8) for one picture after the other."""
    pictures = np.zeros((len(pairs), 1, 1, 3), np.uint8)
    pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = zip(*pairs, strict=True)

    def engine(precision: str, channel: int) -> Any:
        return SimpleNamespace(precision=precision, logits=lambda p: np.eye(_CLASSES)[p[:, 0, 0, channel]])

    known = None if labels is None else np.array(labels)
    report = QuietReporter()
    seen = PictureSet(pictures[:1], pictures, "a test", [], known, photographs)
    verdict = gate.judge(engine("fp32", 0), engine("int8", 1), seen, report)
    return verdict, report.said[-1]


_RIGHT, _LOST, _WON, _MOVED = (0, 0), (0, 1), (1, 0), (1, 2)  # of pictures of class 0


@pytest.mark.parametrize(
    ("pairs", "labelled", "passed", "said"),
    [
        ([_RIGHT] * 97 + [_LOST] * 3, False, True, "(gate 97%, not proven: 95% confidence 91.5% to 99.0%): INT8 is"),
        ([_RIGHT] * 96 + [_LOST] * 4, False, False, "for 96.0% of 100 pictures that calibration did not see"),
        ([_RIGHT] * 1000, False, True, "(gate 97%, 95% confidence 99.6% to 100.0%): INT8 is the default"),
        ([_RIGHT] * 199 + [_LOST], True, True, "0.5 points lost (gate 0.5, not proven: 95% confidence "),
        ([_RIGHT] * 198 + [_LOST] * 2, True, False, "1.0 points lost (gate 0.5, not proven: 95% confidence "),
        ([_RIGHT] * 196 + [_LOST] * 2 + [_WON] * 2, True, True, "FP32 gets 99.0% right, INT8 99.0%, 0.0 points lost"),
        ([_RIGHT] * 95 + [_WON] * 5, True, False, "INT8 100.0%, -5.0 points lost (gate 0.5, 95% confidence "),
        ([_RIGHT] * 96 + [_MOVED] * 4, True, False, "for 96.0% of 100 pictures"),
    ],
)
def test_agreement_and_accuracy_decide_and_what_is_not_proven_is_said(
    pairs: list[tuple[int, int]], labelled: bool, passed: bool, said: str
) -> None:
    verdict, line = _judge(pairs, [0] * len(pairs) if labelled else None)
    assert verdict.passed is passed
    assert said in line
    assert line.endswith(f"{'INT8' if passed else 'FP32'} is the default")
    assert (verdict.accuracy is None) is not labelled


def test_pictures_without_a_label_say_nothing_of_accuracy() -> None:
    verdict, line = _judge([_RIGHT] * 100 + [_LOST] * 3, [0] * 100 + [folder_labels.UNKNOWN] * 3)
    assert verdict.accuracy is not None
    assert (verdict.accuracy["pictures"], verdict.accuracy["fp32"]) == (100, 1.0)
    assert "of 100 with a label" in line


def test_crops_of_a_few_photographs_prove_nothing() -> None:
    """They are not independent of one another, so there is no interval."""
    verdict, line = _judge([_RIGHT] * 300, photographs=7)
    assert (verdict.agreement["interval"], verdict.agreement["photographs"]) == (None, 7)
    assert "of 300 crops that calibration did not see (gate 97%, by 7 photographs: too few to prove it" in line


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_intervals_of_a_share_are_those_that_newcombe_published(
    count: int, total: int, expected: tuple[float, float]
) -> None:
    """Statistics in Medicine 17, 1998, 857-872, table I, method 3."""
    assert intervals.wilson(count, total) == pytest.approx(expected, abs=5e-5)


def test_intervals_of_a_difference_hold_it_in_95_of_100_cases() -> None:
    """Counted over all outcomes of 30 pictures; one published example (Newcombe 1998, table III, method 10)."""
    assert intervals.paired_difference(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    assert intervals.paired_difference(0, 0, 0, 9) == pytest.approx((-0.2991, 0.2991), abs=5e-5)
    total = 30
    factorials = np.cumsum([0.0, *np.log(np.arange(1, total + 1))])
    tables = np.array([t for t in product(range(total + 1), repeat=3) if sum(t) <= total])
    tables = np.column_stack([tables, total - tables.sum(1)])
    ends = np.array([intervals.paired_difference(*map(int, table)) for table in tables])
    for chances in ((0.7, 0.1, 0.1, 0.1), (0.6, 0.2, 0.05, 0.15), (0.3, 0.2, 0.2, 0.3)):
        weights = np.exp(factorials[total] - factorials[tables].sum(1) + tables @ np.log(chances))
        difference = chances[1] - chances[2]
        assert weights[(ends[:, 0] <= difference) & (difference <= ends[:, 1])].sum() >= 0.94


_LABELS = [
    Label(0, "n01440764", "tench", "丁鲷"),
    Label(1, "n01496331", "electric ray", "电鳐"),
    Label(2, "n02012849", "crane", "鹤"),
    Label(3, "n03126707", "crane", "起重机"),
    Label(4, None, "2", "2"),
    Label(5, None, "crème", "奶油"),
]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("tench", 0),
        ("Electric_Ray", 1),
        ("电鳐", 1),
        ("n01496331", 1),
        ("1", 1),
        ("2", 4),  # a name goes before an index
        ("crane", folder_labels.UNKNOWN),  # of two classes
        ("起重机", 3),
        ("n03126707", 3),
        ("summer", folder_labels.UNKNOWN),
        ("cre\u0300me", 5),  # as macOS may write it
    ],
)
def test_a_folder_is_called_as_its_class(folder: str, expected: int) -> None:
    root, report = Path("pictures"), QuietReporter()
    files = [root / folder / "a.jpg", root / folder / "deep" / "b.jpg", root / "tench" / "c.jpg", root / "loose.jpg"]
    found = folder_labels.classes(root, files, _LABELS, report)
    assert found == {files[0]: expected, files[1]: expected, files[2]: 0}
    if expected == folder_labels.UNKNOWN:
        assert report.said == [
            f"1 folders in pictures name no class, or several, and say nothing of accuracy: {folder}"
        ]
    else:
        assert report.said == []


def test_folders_that_are_no_classes_are_nobodys_business() -> None:
    report = QuietReporter()
    files = [Path("pictures", "summer", "a.jpg"), Path("pictures", "winter", "b.jpg")]
    assert set(folder_labels.classes(Path("pictures"), files, _LABELS, report).values()) == {folder_labels.UNKNOWN}
    assert report.said == []
