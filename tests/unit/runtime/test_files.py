from pathlib import Path

import pytest

from services.runtime import files


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        files.replace(path, "neu: ü")
        assert reader.read() == "old"
    assert path.read_bytes() == "neu: ü".encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_lends_nobody_its_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    left = tmp_path / ".secret.7"
    left.touch(mode=0o666)
    files.replace(tmp_path / "secret", b"new", durable=True)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
