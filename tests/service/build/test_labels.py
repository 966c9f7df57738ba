"""The names of classes: ImageNet's, and a person's own in whatever form a tool wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.build import labels
from service.build.vision import torchvision
from service.model.bundle import Label

pytestmark = pytest.mark.slow


def test_imagenet_has_an_id_and_two_names_for_every_class() -> None:
    english = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    found = labels.imagenet(english)
    assert len(found) == 1000
    ids = [label.wordnet_id for label in found]
    assert ids == sorted(set(ids))  # type: ignore[type-var]  # every one is a string, and their order is the classes'
    assert len({label.zh for label in found}) == 1000
    assert (found[0].en, found[0].zh, found[0].wordnet_id) == ("tench", "丁鱥", "n01440764")
    assert (found[134].zh, found[517].zh) == ("鹤", "起重机")  # two cranes


def test_wordnet_ids_are_those_of_the_photographs(shared_data: Path) -> None:
    english = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    found = labels.imagenet(english)
    for name, index in json.loads((shared_data / "photos" / "labels.json").read_text()).items():
        assert name.split("_")[0] == found[index].wordnet_id


TWO = [("cat", "cat"), ("dog", "dog")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\t猫\ndog\n", [("cat", "猫"), ("dog", "dog")]),
        ("\ufeffcat\r\ndog\r\n", TWO),
        ("cat\rdog", TWO),
        ("  cat \ndog\n\n \n", TWO),
        ("cat\u00a0\ndog\u3000", TWO),
        ("0\tcat\n1\tdog", TWO),
        ("0 cat\n1 dog", TWO),
        ("1: dog\n0: cat", TWO),
        ("0,cat\n1,dog", TWO),
        ("0. cat\n1. dog", TWO),
        ("0=cat\n1=dog", TWO),
        ("0|cat\n1|dog", TWO),
        ("n02123045\tcat\nn02085620\tdog", TWO),
        ("n02123045 cat\nn02085620 dog", TWO),
        ("{0: 'cat',\n 1: 'dog'}\n", TWO),
        ("['cat',\n'dog']", TWO),
        ("+\n-", [("+", "+"), ("-", "-")]),
        ("cat,0\ndog,1", TWO),
        ("dog\t1\ncat\t0", TWO),
        ("0\tcat\t猫\n1\tdog\t狗", [("cat", "猫"), ("dog", "狗")]),
        ("class 0\nclass 1", [("class 0", "class 0"), ("class 1", "class 1")]),
        ("0.5 l\n1.5 l", [("0.5 l", "0.5 l"), ("1.5 l", "1.5 l")]),
        ("0:30 h\n1:30 h", [("0:30 h", "0:30 h"), ("1:30 h", "1:30 h")]),
        ("10 euro\n50 euro", [("10 euro", "10 euro"), ("50 euro", "50 euro")]),
        ("0\n1", [("0", "0"), ("1", "1")]),
        ("[red]\n[blue]", [("[red]", "[red]"), ("[blue]", "[blue]")]),
        ("cat\ncat", [("cat", "cat"), ("cat", "cat")]),  # ImageNet itself has two cranes
        ('["cat", "dog"]', TWO),
        ('["1 euro", "2 euro"]', [("1 euro", "1 euro"), ("2 euro", "2 euro")]),
        ('{"1": "dog", "0": "cat"}', TWO),
        ('{\n "0": "cat",\n "1": "dog"\n}\n', TWO),
        ('{"dog": 1, "cat": 0}', TWO),
        ('{"id2label": {"0": "cat", "1": "dog"}, "model_type": "resnet"}', TWO),
        ('{"0": ["n02123045", "cat"], "1": ["n02085620", "dog"]}', TWO),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_ones_own_names(text: str, expected: list[tuple[str, str]], encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(text.encode(encoding))
    found = labels.from_file(tmp_path / "labels", 2)
    assert [(label.en, label.zh) for label in found] == expected
    assert [label.index for label in found] == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n", r"names 1 classes on 1 lines, the network has 2: one a line\. The first line is 'cat'"),
        (b"cat\ndog\nbird\n", "names 3 classes on 3 lines, the network has 2"),
        (b"cat\n\ndog", "names 2 classes on 3 lines"),
        (b"", "names 0 classes"),
        (b"index,name\n0,cat\n1,dog", "on 3 lines.*The first line is 'index,name'"),
        (b"1 cat\n2 dog", "numbers its classes 1 to 2, expected 0 to 1.*as a JSON list"),
        (b"0,cat\n0,dog", "numbers its classes 0 to 0, expected 0 to 1"),
        (b"cat\t5\ndog\t6", "numbers its classes 5 to 6"),
        (b"a\tb\tc\nd\te\tf", "3 columns for class 0"),
        (b"n02123045 1 cat\nn02085620 2 dog", "numbers its classes 1 to 2"),
        (b'{"id": 0, "name": "cat"}\n{"id": 1, "name": "dog"}', "each line begins with a sign.*as a JSON|JSON list"),
        (b"- cat\n- dog", "each line begins with a sign, the first is '- cat'"),
        (b"'cat',\n'dog'", "each line begins with a sign"),
        (b'0,"cat"\n1,"dog"', "each line begins with a sign"),
        (b"[0] cat\n[1] dog", "each line begins with a sign"),
        (b'{"id2label": 5}', "holds no names: id2label is 5"),
        (b"Katze\nH\xfcndin\n", "is not UTF-8: line 2 holds the byte 0xfc. Save it again as UTF-8"),
        ("猫\n狗\n".encode("gbk"), "is not UTF-8: line 2"),
        ("猫\n狗\n".encode("utf-16-le"), "is not UTF-8|cannot be shown"),
        ("cat\ndog\n".encode("utf-16-le"), "cannot be shown|names"),
        ("H\ufffdndin\nKatze".encode(), "class 0 the name 'H\ufffdndin', which cannot be shown"),
        (b"\x1b[1mcat\ndog", "cannot be shown"),
        (b'["cat", ""]', "class 1 the name '', which cannot be shown"),
        (b'["cat"]', "names 1 classes, the network has 2"),
        (b'["cat", 7]', "class 1 the name 7, expected a text"),
        (b'["cat", "\\ud800"]', "cannot be shown"),
        (b'{"1": "cat", "2": "dog"}', "does not number its classes from 0 to 1, each once"),
        (b'{"cat": 0, "dog": 0}', "does not number its classes from 0 to 1, each once"),
        (b'{"names": ["cat", "dog"]}', "does not number its classes"),
    ],
)
def test_what_could_be_misread_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(labels.LabelsError, match=message):
        labels.from_file(tmp_path / "labels", 2)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('["cat", ')
    for name, message in (
        ("none.txt", "cannot be read: No such file"),
        ("half.json", "is no JSON"),
        ("", "Is a directory"),
    ):
        with pytest.raises(labels.LabelsError, match=message):
            labels.from_file(tmp_path / name, 2)


def test_torchserves_form_keeps_the_wordnet_ids(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({"0": ["n02123045", "tabby"], "1": ["n02085620", "Chihuahua"]}))
    assert [label.wordnet_id for label in labels.from_file(tmp_path / "labels.json", 2)] == ["n02123045", "n02085620"]


def test_a_person_sees_the_first_names_and_those_that_mean_two_classes() -> None:
    names = [Label(0, None, "cat", "猫"), *(Label(i, None, "dog", "dog") for i in (1, 2, 3))]
    assert labels.summary(names) == "4 classes: 0 = cat (猫), 1 = dog, 2 = dog, .... Several classes are called dog"
    assert labels.summary(labels.numbered(1)) == "1 classes: 0 = class 0 (类别 0)"
