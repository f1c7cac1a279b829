"""Paths in QEMU's names of images."""

import pytest

from mclu_shell.cloud.hypervisor.image_names import UndecodableName, find_named_paths, find_paths

BASE = "/i/b.qcow2"


@pytest.mark.parametrize(
    "name",
    [
        BASE,
        "b.qcow2",
        f"file:{BASE}",
        f'json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{BASE}"}}}}',
        # Escapes, and options with dots.
        r'json:{"file.driver":"file","file.filename":"\/i\/b.qcow2"}',
        r'json:{"file.filename":"\u002fi/b\u002eqcow2"}',
        # QEMU's JSON has strings in apostrophes.
        f"json:{{'driver':'qcow2','file':{{'driver':'file','filename':'{BASE}'}}}}",
        # A list of children, a name with a protocol, and JSON in JSON.
        f'json:{{"driver":"quorum","children":[{{"file":"node"}},{{"file":{{"filename":"{BASE}"}}}}]}}',
        f'json:{{"file":"file:{BASE}"}}',
        r'json:{"file":"json:{\"file.filename\":\"/i/b.qcow2\"}"}',
        # The first of two equal keys.
        f'json:{{"filename":"{BASE}","filename":"/x"}}',
    ],
)
def test_the_path_in_a_name_is_certain(name: str) -> None:
    assert BASE in find_paths(name, "/i").certain


@pytest.mark.parametrize(
    "name",
    [
        "file:b.qcow2",
        f"blkdebug::{BASE}",
        f"blkdebug:/etc/rules:{BASE}",
        f"blkverify:{BASE}:/other",
        f"blkverify:/other:{BASE}",
        f"host_device:{BASE}",
        f"raw:{BASE}",
        f"fat:rw:{BASE}",
        f"nbd+unix:///?socket={BASE}",
        "nbd+unix:///?socket=%2Fi%2Fb.qcow2",
        f"nfs://server{BASE}?uid=0",
        f"unknown:a=1,b={BASE}",
        'json:{"file":{"filename":"b.qcow2"}}',
        f'json:{{"filename":"blkdebug::{BASE}"}}',
    ],
)
def test_a_path_that_a_name_may_mean_is_a_guess(name: str) -> None:
    assert BASE in find_paths(name, "/i").guesses


@pytest.mark.parametrize("name", ["", "https://host/i/b.qcow2?x=1", 'json:{"driver":"null-co"}'])
def test_a_name_of_no_file_has_no_paths(name: str) -> None:
    assert find_paths(name, "/i") == ((), ())


@pytest.mark.parametrize(
    "name",
    [
        "json:{broken",
        'json:{"filename":"/i/\ufffd"}',
        "/i/\ufffd",
        r'json:{"filename":"/i/\ud800"}',
        r'json:{"filename":"\ud800"}',
        r'json:{"filename":"/i/\u0000"}',
        "json:" + "[" * 100_000,
        "x:" + ":" * 30,
    ],
)
def test_an_undecodable_name_is_an_error(name: str) -> None:
    with pytest.raises(UndecodableName):
        find_paths(name, "/i")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (BASE, BASE),
        (f"if=none,file={BASE},format=qcow2", BASE),
        ("file=/i/a,,b,if=none", "/i/a,b"),
        (f"file:{BASE}", BASE),
        (f'{{"driver":"file","filename":"{BASE}"}}', BASE),
        (r'{"driver":"file","filename":"\/i\/b.qcow2"}', BASE),
        (r'file=json:{"file":"json:{\"filename\":\"/i/b.qcow2\"}"}', BASE),
        (r'{broken, "filename":"\/i\/b.qcow2"', BASE),
    ],
)
def test_the_paths_in_an_option_are_found(text: str, path: str) -> None:
    assert path in find_named_paths(text)


@pytest.mark.parametrize(
    "option", ["file=i/web,if=none", "i/web", 'json:{"filename": "i/web"}', '{"filename":"i/web"}', "file:i/web"]
)
def test_a_relative_path_in_an_option_is_found(option: str) -> None:
    assert "/i/web" in find_named_paths(option, "/")
    assert "/i/web" not in find_named_paths(option)
