"""The kernel is compiled when the package is built, by the machine's compiler or by one that pip fetches."""

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sdist = pytest.importorskip(
    "hatchling.builders.sdist", reason="hatch_build.py is a plugin of hatchling, which only builds need"
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hatch_build():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hook(hatch_build, tmp_path):
    """The build of a checkout that has nothing but the kernel's sources."""
    shutil.copytree(ROOT / "pipeline" / "kernel", tmp_path / "pipeline" / "kernel", ignore=shutil.ignore_patterns("*.so"))
    return hatch_build.KernelBuildHook(str(tmp_path), {}, None, None, str(tmp_path / "dist"), "wheel")


@pytest.fixture
def on_path(monkeypatch, tmp_path):
    """Leaves no commands but those named, which do nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)

    def put(*commands):
        for command in commands:
            (folder / command).write_text("#!/bin/sh\n")
            (folder / command).chmod(0o755)

    return put


class TestCompiler:
    def test_without_one_pip_is_asked_for_one(self, hook, on_path):
        (asked,) = hook.dependencies()
        assert asked.startswith("ziglang==")

    def test_with_one_nothing_is_asked_for(self, hook, on_path):
        on_path("cc")
        assert hook.dependencies() == []

    @pytest.mark.parametrize(("named", "asked"), [("clang", 0), ("clang -m64", 0), ("icc", 1), ("", 1)])
    def test_cc_names_it(self, hook, on_path, monkeypatch, named, asked):
        on_path("clang")
        monkeypatch.setenv("CC", named)
        assert len(hook.dependencies()) == asked

    @pytest.mark.parametrize(("there", "starts"), [(["cc"], ["cc"]), ([], [sys.executable, "-m", "ziglang", "cc"])])
    def test_the_one_that_is_there_is_called_with_all_sources(self, hook, on_path, monkeypatch, there, starts):
        on_path(*there)
        called = []
        monkeypatch.setattr(subprocess, "run", lambda command, check: called.append((command, check)))
        hook.initialize("standard", {"artifacts": [], "force_include": {}})
        sources = {path.name for path in (ROOT / "pipeline" / "kernel").glob("*.c")}
        for command, check in called:
            assert (command[: len(starts)], check) == (starts, True)
            assert {Path(argument).name for argument in command if argument.endswith(".c")} == sources


class TestAnotherPlatform:
    @pytest.fixture
    def commands(self, hook, on_path, monkeypatch):
        """Builds for a platform, with a compiler for this machine at hand; gives the commands that were run, and what the wheel is told."""
        on_path("cc")

        def build(platform):
            called, data = [], {"artifacts": [], "force_include": {}}
            monkeypatch.setenv("FLOWLOG_PLATFORM", platform)
            monkeypatch.setattr(subprocess, "run", lambda command, check: called.append(command))
            hook.initialize("standard", data)
            return called, data

        return build

    def test_zig_compiles_against_the_oldest_library_that_the_tag_promises(self, hook, commands):
        (compiled,), data = commands("manylinux_2_17_aarch64")
        assert compiled[:6] == [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.17"]
        assert data["tag"] == "py3-none-manylinux_2_17_aarch64"
        assert data["pure_python"] is False
        assert hook.dependencies() == ["ziglang==0.17.1"]

    def test_the_library_of_this_machine_stays_as_it_is(self, commands):
        _, data = commands("macosx_11_0_arm64")
        ((built, place),) = data["force_include"].items()
        assert place == "pipeline/kernel/_kernel.so"
        assert "dist/macosx_11_0_arm64/" in built
        assert data["artifacts"] == []

    def test_musl_is_named_as_its_systems_name_it(self, hook, commands):
        (_, patched), _ = commands("musllinux_1_2_aarch64")
        assert patched[:4] == ["patchelf", "--replace-needed", "libc.so", "libc.musl-aarch64.so.1"]
        assert len(hook.dependencies()) == 2

    def test_x86_has_a_second_library_for_processors_with_avx2(self, commands):
        (plain, avx2), data = commands("macosx_11_0_x86_64")
        assert {*avx2} - {*plain} >= {"-mavx2", "-mbmi", "-mbmi2"}
        assert [*data["force_include"].values()] == ["pipeline/kernel/_kernel.so", "pipeline/kernel/_kernel_avx2.so"]

    def test_one_that_is_not_known_is_refused(self, commands, hatch_build):
        with pytest.raises(SystemExit, match="FLOWLOG_PLATFORM: win_amd64 is none of manylinux_2_17_x86_64"):
            commands("win_amd64")

    def test_make_makes_the_wheels_of_all(self, hatch_build):
        (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("WHEELS :=")]
        assert line.split()[2:] == list(hatch_build.PLATFORMS)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
class TestBuild:
    def test_the_library_lies_beside_the_package_and_goes_into_the_wheel(self, hook, tmp_path):
        data = {"artifacts": []}
        hook.initialize("standard", data)
        assert data["artifacts"][0] == "/pipeline/kernel/_kernel.so"
        assert data["pure_python"] is False  # or the wheel would be said to fit every machine
        assert data["tag"].startswith("py3-none-")
        library = ctypes.CDLL(str(tmp_path / "pipeline" / "kernel" / "_kernel.so"))
        library.find_four.argtypes = (ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p)
        assert library.find_four(b"an addr", 7, 0, b"addr") == 3

    def test_the_sources_have_no_warnings(self, hook, hatch_build, monkeypatch):
        monkeypatch.setattr(hatch_build, "_FLAGS", (*hatch_build._FLAGS, "-Werror"))
        hook.initialize("standard", {"artifacts": []})

    def test_sources_that_do_not_compile_end_the_build(self, hook, tmp_path):
        (tmp_path / "pipeline" / "kernel" / "wrong.c").write_text("this is no C\n")
        with pytest.raises(SystemExit, match=r"cannot be compiled by cc, .* CC=none has pip fetch one"):
            hook.initialize("standard", {"artifacts": []})


def test_a_package_without_its_library_says_what_to_do(tmp_path):
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "flows.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\n")
    finished = subprocess.run(
        [sys.executable, "-m", "pipeline", "ingest", "flows.csv"], cwd=tmp_path, capture_output=True, check=False, text=True
    )
    assert finished.returncode == 2
    (sentence,) = finished.stderr.splitlines()
    assert sentence.startswith("flowlog: flowlog's compiled part cannot be loaded (")
    assert sentence.endswith("; install flowlog again with pip")


class TestSourceDistribution:
    @pytest.fixture
    def has(self):
        return sdist.SdistBuilder(str(ROOT)).config.path_is_included

    @pytest.mark.parametrize(
        "path",
        [
            "pipeline/kernel/lines.c",
            "hatch_build.py",
            "data/raw/a.csv",
            "tests/world.py",
            "docs/adr/1.md",
            "CONTRIBUTING.md",
        ],
    )
    def test_it_has_what_a_build_and_a_reader_need(self, has, path):
        assert has(path)

    @pytest.mark.parametrize("path", ["venv/lib/site-packages/pip/tests/a.py", "env/share/data/a.csv"])
    def test_it_has_nothing_of_a_virtual_environment_in_the_checkout(self, has, path):
        assert not has(path)
