"""The bootstrap's decisions, without a network and without installing anything."""

from __future__ import annotations

import errno
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = Path(__file__).resolve().parent.parent / "packaging"
MODULES = ("bootstrap", "install_steps", "qt_libraries")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    """The modules as `python3 packaging/bootstrap.py` sees them: beside each other."""
    sys.path.insert(0, str(PACKAGING))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(PACKAGING))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def bootstrap(modules: dict[str, Any]) -> Any:
    return modules["bootstrap"]


@pytest.fixture
def steps(modules: dict[str, Any]) -> Any:
    return modules["install_steps"]


@pytest.fixture
def libraries(modules: dict[str, Any]) -> Any:
    return modules["qt_libraries"]


@pytest.fixture
def checkout(bootstrap: Any, tmp_path: Path) -> Path:
    """A folder with the files that decide what is installed."""
    for name in bootstrap.HASHED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"contents of {name}")
    return tmp_path


# --- when to install --------------------------------------------------------------------------


def test_every_file_that_decides_is_there(bootstrap: Any) -> None:
    for name in bootstrap.HASHED:
        assert (PACKAGING.parent / name).is_file(), name


def test_nothing_changed_nothing_to_install(bootstrap: Any, checkout: Path) -> None:
    assert bootstrap.fingerprint(checkout, "run", (3, 11)) == bootstrap.fingerprint(checkout, "run", (3, 11))


def test_a_change_of_any_file_means_installing_again(bootstrap: Any, checkout: Path) -> None:
    seen = {bootstrap.fingerprint(checkout, "run", (3, 11))}
    for name in bootstrap.HASHED:
        with (checkout / name).open("a") as handle:
            handle.write("#")
        seen.add(bootstrap.fingerprint(checkout, "run", (3, 11)))
    assert len(seen) == len(bootstrap.HASHED) + 1


def test_another_python_purpose_or_place_means_installing_again(bootstrap: Any, checkout: Path) -> None:
    elsewhere = checkout / "moved"
    for name in bootstrap.HASHED:
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / name, elsewhere / name)
    prints = {
        bootstrap.fingerprint(checkout, "run", (3, 11)),
        bootstrap.fingerprint(checkout, "run", (3, 12)),
        bootstrap.fingerprint(checkout, "test", (3, 11)),
        bootstrap.fingerprint(elsewhere, "run", (3, 11)),
    }
    assert len(prints) == 4


def make_ready(bootstrap: Any, steps: Any, venv: Path) -> None:
    python = steps.venv_python(venv)
    python.parent.mkdir(parents=True)
    python.touch()
    bootstrap.write_stamp(venv, {"run": "abc"})


def test_a_stamped_environment_is_ready(bootstrap: Any, steps: Any, tmp_path: Path) -> None:
    make_ready(bootstrap, steps, tmp_path)
    assert bootstrap.is_ready(tmp_path, "run", "abc")
    assert not bootstrap.is_ready(tmp_path, "run", "other")
    assert not bootstrap.is_ready(tmp_path, "test", "abc")


def test_an_interrupted_installation_is_not_ready(bootstrap: Any, steps: Any, tmp_path: Path) -> None:
    make_ready(bootstrap, steps, tmp_path)
    (tmp_path / steps.UNFINISHED_NAME).touch()
    assert not bootstrap.is_ready(tmp_path, "run", "abc")


def test_an_environment_whose_python_is_gone_is_not_ready(bootstrap: Any, steps: Any, tmp_path: Path) -> None:
    make_ready(bootstrap, steps, tmp_path)
    python = steps.venv_python(tmp_path)
    python.unlink()
    python.symlink_to(tmp_path / "no such interpreter")
    assert not bootstrap.is_ready(tmp_path, "run", "abc")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_stamp_means_installing_again(bootstrap: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / bootstrap.STAMP_NAME).write_bytes(content)
    assert bootstrap.read_stamp(tmp_path) == {}


# --- what is run ------------------------------------------------------------------------------


def test_the_interpreter_is_found_on_every_system(steps: Any) -> None:
    assert steps.venv_python(Path("v"), windows=False) == Path("v/bin/python")
    assert steps.venv_python(Path("v"), windows=True) == Path("v/Scripts/python.exe")


def test_arguments_are_passed_on(bootstrap: Any) -> None:
    python = Path("py")
    assert bootstrap.run_command(python, ["--demo"]) == ["py", "-m", "advclip_gui", "--demo"]
    assert bootstrap.suite_commands(python, ["-k", "probe"]) == [["py", "-m", "pytest", "-k", "probe"]]


@pytest.mark.parametrize(("cores", "workers"), [(1, None), (2, "2"), (64, "4")])
def test_the_whole_suite_takes_every_core(bootstrap: Any, cores: int, workers: str | None) -> None:
    commands = bootstrap.suite_commands(Path("py"), [], cores)
    assert [command[2] for command in commands] == ["ruff", "mypy", "pytest"]
    spread = commands[-1][3:]
    assert spread[:2] == (["-n", workers] if workers else [])


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", "offscreen"),
        ({"DISPLAY": ":0"}, "linux", None),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", None),
        ({"QT_QPA_PLATFORM": "minimal"}, "linux", "minimal"),
        ({}, "win32", None),
        ({}, "darwin", None),
    ],
)
def test_without_a_display_qt_draws_into_memory(
    bootstrap: Any, environment: dict[str, str], platform: str, expected: str | None
) -> None:
    assert bootstrap.suite_environment(environment, platform).get("QT_QPA_PLATFORM") == expected


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["start"], 2), (["--help"], 0), (["-h"], 0), (["--demo"], 2)]
)
def test_wrong_usage_shows_the_usage(bootstrap: Any, arguments: list[str], status: int) -> None:
    assert bootstrap.main(arguments) == status


def test_pip_installs_torch_first_and_by_its_exact_version(steps: Any) -> None:
    constraints = "# comment\nTorch==2.13.0\nhatchling==1.0\neditables==0.5\nfoolbox==3\ntorchattacks==4\n"
    commands = [command for _, command in steps.pip_commands(Path("/c"), Path("/py"), "test", constraints)]
    assert all(command[:4] == ["/py", "-m", "pip", "install"] for command in commands)
    assert all("--constraint" in command for command in commands)
    assert "torch==2.13.0" in commands[0]
    assert commands[1][-2:] == ["--editable", "/c[test]"]
    assert commands[2][-3:] == ["--no-deps", "foolbox==3", "torchattacks==4"]


def test_running_needs_nothing_of_the_tests(steps: Any) -> None:
    constraints = "torch==2.13.0\nhatchling==1.0\neditables==0.5\n"
    commands = [command for _, command in steps.pip_commands(Path("/c"), Path("/py"), "run", constraints)]
    assert len(commands) == 2
    assert commands[1][-1] == "/c"


def test_a_missing_pin_is_named(steps: Any) -> None:
    with pytest.raises(steps.StepError, match="torch is not pinned"):
        steps.pinned("torch", "torchvision==1\ntorch>=2\n")


def test_the_constraints_pin_everything_exactly_and_for_every_build(steps: Any) -> None:
    lines = steps.constraints_file(PACKAGING.parent).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 60
    assert all(line.count("==") == 1 and "+" not in line for line in pins)
    for wanted in ("torch==2.13.0", "torchvision==0.28.0"):
        assert wanted in pins


def test_strays_in_the_environment_do_not_reach_pip(steps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("HTTPS_PROXY", "proxy")
    environment = steps.clean_environment()
    assert "PYTHONPATH" not in environment
    assert "PIP_TARGET" not in environment
    assert environment["HTTPS_PROXY"] == "proxy"


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("ERROR: Could not install: OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "WARNING: Retrying ... NewConnectionError('...: Temporary failure in name resolution')\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "cannot be reached",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "There is no torch==2.13.0 for Python"),
        ("something\n\nERROR: a strange thing\n", "Installing failed: something ERROR: a strange thing"),
    ],
)
def test_a_failure_of_pip_becomes_a_sentence(steps: Any, output: str, part: str) -> None:
    sentence = steps.explain_pip(output)
    assert part in sentence
    assert "\n" not in sentence


def test_a_failure_of_the_file_system_becomes_a_sentence(steps: Any) -> None:
    assert "disk is full" in steps.explain_os_error(OSError(errno.ENOSPC, "x"))
    assert "no permission to write /v" in steps.explain_os_error(PermissionError(errno.EACCES, "x", "/v"))


def test_a_failing_pip_is_reported_without_a_traceback(steps: Any) -> None:
    said = "print('ERROR: No matching distribution found for torch==0'); raise SystemExit(1)"
    with pytest.raises(steps.StepError, match="There is no torch==0"):
        steps._pip([sys.executable, "-c", said])


# --- repairs ----------------------------------------------------------------------------------


def test_a_half_made_environment_is_made_anew(
    steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "rubbish").touch()
    made: list[list[str]] = []
    monkeypatch.setattr(steps, "_must_run", lambda command, what: made.append(command))
    steps.make_venv(venv)
    assert not venv.exists()
    assert made == [[sys.executable, "-m", "venv", str(venv)]]


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "NEEDED_GB", 1e9)
    with pytest.raises(steps.StepError, match="GB free"):
        steps.make_venv(tmp_path / ".venv")


def test_without_ensurepip_the_package_to_install_is_named(
    steps: Any, libraries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(steps.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(libraries, "is_debian_like", lambda: True)
    with pytest.raises(steps.StepError, match=r"sudo apt-get install .*python3\.\d+-venv"):
        steps.make_venv(tmp_path / ".venv")


def test_packages_with_missing_files_are_forgotten(steps: Any, tmp_path: Path) -> None:
    whole, cut, unrecorded = (tmp_path / f"{name}-1.dist-info" for name in ("whole", "cut", "unrecorded"))
    for info in (whole, cut, unrecorded):
        info.mkdir()
        name = info.name.split("-")[0]
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (tmp_path / "whole.py").write_text("1")
    (whole / "RECORD").write_text("whole.py,,1\nwhole-1.dist-info/METADATA,,\n")
    (cut / "RECORD").write_text("cut.py,,1\ncut-1.dist-info/METADATA,,\n")
    (tmp_path / "~orch").mkdir()
    code = steps._FIND_DAMAGE.replace('sysconfig.get_paths()["purelib"]', repr(str(tmp_path)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["cut-1.dist-info", "unrecorded-1.dist-info"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole-1.dist-info", "whole.py"]


# --- system libraries -------------------------------------------------------------------------


def test_nothing_is_missing_where_everything_loads(libraries: Any) -> None:
    assert libraries.missing_packages(windows=True, loads=lambda name: True, font_there=lambda: True) == []


def test_missing_libraries_name_their_packages(libraries: Any) -> None:
    there = {*libraries.FOR_IMPORT, *libraries.FOR_WINDOWS} - {"libEGL.so.1", "libxcb-cursor.so.0"}

    def missing(*, windows: bool) -> list[str]:
        packages: list[str] = libraries.missing_packages(
            windows=windows, loads=there.__contains__, font_there=lambda: False
        )
        return packages

    assert missing(windows=True) == ["fonts-dejavu-core", "libegl1", "libxcb-cursor0"]
    assert missing(windows=False) == ["fonts-dejavu-core", "libegl1"]


def test_a_library_that_does_not_exist_cannot_be_loaded(libraries: Any) -> None:
    assert not libraries.can_load("libno-such-thing.so.7")


def test_fonts_are_looked_for_in_sub_folders(libraries: Any, tmp_path: Path) -> None:
    (tmp_path / "truetype" / "some").mkdir(parents=True)
    assert not libraries.has_font([tmp_path, tmp_path / "gone"])
    (tmp_path / "truetype" / "some" / "A.TTF").touch()
    assert libraries.has_font([tmp_path])


def test_the_command_to_paste_updates_first(libraries: Any) -> None:
    assert libraries.one_line(["libegl1"]) == (
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends libegl1"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lacks Qt's libraries")
@pytest.mark.parametrize(("root", "refused"), [(1000, True), (0, False)])
def test_without_root_the_command_is_shown(
    steps: Any, libraries: Any, monkeypatch: pytest.MonkeyPatch, root: int, refused: bool
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(libraries, "missing_packages", lambda *, windows: ["libegl1"])
    monkeypatch.setattr(libraries, "is_debian_like", lambda: True)
    monkeypatch.setattr(libraries, "install", lambda packages: installed.append(packages) or "")
    monkeypatch.setattr(steps.os, "geteuid", lambda: root)
    if refused:
        with pytest.raises(steps.StepError, match=r"sudo apt-get install .* libegl1"):
            steps.install_system_libraries(windows=True)
        assert installed == []
    else:
        steps.install_system_libraries(windows=True)
        assert installed == [["libegl1"]]
