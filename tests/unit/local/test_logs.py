import json
from pathlib import Path

import pytest

from ops.local import logs
from ops.local.home import Home, HomeError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    for name in ("query-a-0", "query-a-0.proxy", "postgres"):
        home.log_of(name).write_text("".join(f"line {number}\n" for number in range(100)))
    return home


def test_the_log_of_an_instance_comes_with_its_proxys(home: Home) -> None:
    assert [path.stem for path in logs.choose(home, "query-a-0")] == ["query-a-0", "query-a-0.proxy"]
    assert [path.stem for path in logs.choose(home, "query-a-0.proxy")] == ["query-a-0.proxy"]
    assert len(logs.choose(home, None)) == 3


def test_an_unknown_log_is_refused_with_those_that_there_are(home: Home) -> None:
    with pytest.raises(
        HomeError, match=r"no log of 'ingest'; there are postgres, query-a-0, query-a-0.proxy"
    ):
        logs.choose(home, "ingest")


def test_the_tail_is_the_last_lines(home: Home) -> None:
    assert logs.tail(home.log_of("postgres"), 2) == ["line 98", "line 99"]
    assert logs.tail(home.log_of("nobody"), 2) == []


def test_the_tail_of_a_start_has_nothing_of_earlier_ones(home: Home) -> None:
    ends = logs.ends(home)
    path = home.log_of("postgres")
    with path.open("a") as log:
        log.write("new\n")
    assert logs.tail(path, 20, ends[path]) == ["new"]
    path.write_text("put aside, and begun again\n")
    assert logs.tail(path, 20, ends[path]) == ["put aside, and begun again"]


def test_a_follower_reads_whole_lines_that_come_later(home: Home) -> None:
    path = home.log_of("postgres")
    follower = logs.Follower((path, home.log_of("later")))
    assert list(follower.read()) == []
    with path.open("a") as log:
        log.write("one\ntw")
        log.flush()
        assert list(follower.read()) == [("postgres", "one")]
        log.write("o\n")
    home.log_of("later").write_text("first\n")
    assert list(follower.read()) == [("postgres", "two"), ("later", "first")]


def test_a_follower_goes_on_when_a_log_was_put_aside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LONGEST", 100)
    path = home.log_of("postgres")
    follower = logs.Follower((path,))
    before = path.read_text()
    logs.trim(path)
    assert path.with_suffix(".log.1").read_text() == before
    with path.open("a") as log:
        log.write("new\n")
    assert list(follower.read()) == [("postgres", "new")]


def test_a_short_log_is_left_alone(home: Home) -> None:
    path = home.log_of("postgres")
    before = path.read_text()
    logs.trim(path)
    logs.rotate(path)
    assert path.read_text() == before


def test_lines_of_our_services_are_made_readable() -> None:
    line = json.dumps(
        {
            "event": "listening",
            "level": "info",
            "timestamp": "2026-03-01T10:11:12.345678Z",
            "port": 7,
            "why": "x",
        }
    )
    assert logs.pretty(line) == "10:11:12.345 info    listening port=7 why=x"


@pytest.mark.parametrize("line", ["", "plain text", "[1]", "7", '{"no": "event"}', "{broken"])
def test_lines_of_others_stay_as_they_are(line: str) -> None:
    assert logs.pretty(line) == line


def test_a_fault_of_a_service_is_its_line_of_level_error() -> None:
    raised = [{"exc_type": "KeyError", "exc_value": "'x'", "frames": []}, {"exc_type": "OSError"}]
    line = {"event": "a handler failed", "level": "error", "method": "/a/B", "exception": raised}
    assert logs.fault_in(json.dumps(line)) == "a handler failed: KeyError: 'x'"
    assert logs.fault_in('{"event": "topology refused", "level": "error"}') == "topology refused"


@pytest.mark.parametrize(
    "line",
    ['{"event": "serving", "level": "info"}', '{"level": "error"}', "[error] what a proxy says", "[1]", ""],
)
def test_other_lines_are_no_fault_of_a_service(line: str) -> None:
    assert logs.fault_in(line) == ""
