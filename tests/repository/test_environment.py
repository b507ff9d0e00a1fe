"""One source of dependency truth: the locks, the conda files and the container recipes follow pyproject.toml."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

# Modules named unlike their distribution; pydantic pins its core exactly.
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "open_clip": "open-clip-torch", "pydantic_core": "pydantic"}
# The host that loads the plug-in is there when the plug-in is imported.
HOSTS = {"lmms_eval", "decord", "torchcodec", "mkdocs"}
DOCKER = {"FROM", "ARG", "LABEL", "ENV", "RUN", "WORKDIR", "COPY", "CMD"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
APPTAINER = {"files", "post", "environment", "runscript", "labels", "help"}


@pytest.fixture(scope="module")
def pyproject(repository) -> str:
    return (repository / "pyproject.toml").read_text()


@pytest.fixture(scope="module")
def lock(repository) -> str:
    return (repository / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def direct(export_environment, pyproject) -> set[str]:
    return {canonicalize_name(needed.name) for needed in export_environment.direct_requirements(pyproject, apart=())}


@pytest.fixture
def copy(repository, tmp_path, export_environment) -> Path:
    """A folder with pyproject.toml, the lock, the templates, and every file that follows from them."""
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(repository / name, tmp_path)
    shutil.copytree(repository / "containers", tmp_path / "containers")
    for file, text in export_environment.derived_files(tmp_path).items():
        (tmp_path / file).write_text(text)
    return tmp_path


def test_lock_pins_what_pyproject_needs_at_the_installed_versions(export_environment, pyproject, lock):
    wanted = export_environment.needed_versions(pyproject)
    built_for_cpu = wanted["torch"].endswith("+cpu")
    pinned = export_environment.cpu_versions(lock) if built_for_cpu else export_environment.locked_versions(lock)
    differing = sorted(set(pinned.items()) ^ set(wanted.items()))
    assert pinned == wanted, (
        f"requirements.lock differs from what pyproject.toml needs in {differing}; "
        "run `make lock` if the installed versions are meant, `make environment` if the lock is"
    )


def test_every_pin_satisfies_every_requirement_on_it(export_environment, pyproject, lock):
    pinned = export_environment.locked_versions(lock)
    demands = [("pyproject.toml", requirement) for requirement in export_environment.direct_requirements(pyproject)]
    for name in pinned:
        demands += [(name, requirement) for requirement in export_environment.installed_requirements(name) or []]
    wrong = [
        f"{source} wants {demand}, the lock has {pinned[name]}"
        for source, demand in demands
        if (demand.marker is None or demand.marker.evaluate({"extra": ""}))
        and (name := canonicalize_name(demand.name)) in pinned
        and not demand.specifier.contains(pinned[name], prereleases=True)
    ]
    assert not wrong, f"{wrong}; install versions that fit, then run `make lock`"


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_serves_every_python_that_the_project_allows(export_environment, pyproject, lock, python):
    pinned = export_environment.locked_versions(lock)
    needed = export_environment.closure(
        export_environment.direct_requirements(pyproject),
        {"python_version": python, "python_full_version": f"{python}.0"},
    )
    assert not needed - set(pinned), f"needed on Python {python}: name them in pyproject.toml, run `make lock`"
    for name in pinned:
        allowed = SpecifierSet(distribution(name).metadata["Requires-Python"] or "")
        assert f"{python}.0" in allowed, (
            f"{name} {pinned[name]} needs Python {allowed}; install an older one, then run `make lock`"
        )


def test_packages_with_a_wheel_for_each_python_are_told_from_the_others(check_wheels, export_environment, lock):
    assert dict(check_wheels.pins(lock)) == export_environment.locked_versions(lock)
    bound = {name for name in ("torch", "numpy", "typer", "tokenizers") if check_wheels.for_one_python(name)}
    assert bound == {"torch", "numpy"}, "typer serves any Python 3, tokenizers the stable interface"


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 15)])
def test_a_python_that_cannot_serve_is_told_in_one_line(check_machine, pyproject, tmp_path, version):
    (line,) = check_machine.missing(version, pyproject, tmp_path)
    assert line.startswith(f"Python {version[0]}.{version[1]} is here, 3.11 to 3.14") and "\n" not in line


def test_a_python_that_needs_a_compiler_asks_for_one(check_machine, pyproject, tmp_path, monkeypatch):
    monkeypatch.setattr(check_machine.shutil, "which", lambda _: None)
    (line,) = check_machine.missing((3, 14), pyproject, tmp_path)
    assert "no C compiler is here: apt install gcc" in line
    assert not list(check_machine.missing((3, 13), pyproject, tmp_path))


def test_a_full_disk_is_told_before_anything_is_downloaded(check_machine, pyproject, tmp_path, monkeypatch):
    monkeypatch.setattr(check_machine, "DISK_GIGABYTES", 1e9)
    assert ["GB of disk are free" in line for line in check_machine.missing((3, 11), pyproject, tmp_path)] == [True]


def test_files_that_follow_from_the_lock_are_up_to_date(repository, export_environment):
    stale = [str(file) for file in export_environment.outdated(repository)]
    assert not stale, f"out of date: {', '.join(stale)}; run `{export_environment.REPAIR}`"


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "requirements.lock",
            "pydantic==",
            "pydantic==9",
            {"requirements-cpu.lock", "environment.yml", "environment-cpu.yml"},
        ),
        ("pyproject.toml", '\nversion = "', '\nversion = "9', {"containers/Dockerfile", "containers/dynfocus.def"}),
        ("containers/templates/Dockerfile.template", "g++ git", "g++ git-lfs", {"containers/Dockerfile"}),
        ("environment.yml", "- pip:", "- pip :", {"environment.yml"}),
    ],
)
def test_drift_is_noticed(copy, export_environment, file, old, new, stale):
    assert export_environment.outdated(copy) == []
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    assert {str(path) for path in export_environment.outdated(copy)} == stale


def test_dependency_that_is_not_installed_ends_with_the_repair(export_environment, pyproject):
    with pytest.raises(SystemExit, match="run `pip install 'no-such-package>=1'`, then `make lock`"):
        export_environment.needed_versions(
            pyproject.replace("dependencies = [\n", 'dependencies = [\n"no-such-package>=1",', 1)
        )


def test_package_that_merely_happens_to_be_installed_is_not_pinned(export_environment):
    assert "torch" not in export_environment.closure([Requirement("pydantic")])


def test_every_import_is_a_dependency_that_pyproject_names(texts, direct):
    local = {file.stem for file in texts if file.parts[0] in ("tests", "speed", "scripts")} | {"dynfocus"}
    undeclared = [
        f"{module} ({file})"
        for file, text in texts.items()
        if file.suffix == ".py"
        for module in imported(text) - local - HOSTS - set(sys.stdlib_module_names)
        if canonicalize_name(DISTRIBUTIONS.get(module, module)) not in direct
    ]
    assert not undeclared, f"imported but not in pyproject.toml: {undeclared}; name them there, run `make lock`"


def imported(source: str) -> set[str]:
    """First names of all modules that a source imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_cpu_lock_differs_in_torch_and_cuda_alone(repository, export_environment, lock):
    cuda = export_environment.locked_versions(lock)
    cpu = export_environment.locked_versions((repository / "requirements-cpu.lock").read_text())
    assert {name for name in cuda if name not in cpu} == {
        name for name in cuda if name.startswith(("nvidia-", "cuda-")) or name == "triton"
    }
    assert {name: version for name, version in cpu.items() if cuda[name] != version} == {
        name: f"{cuda[name]}+cpu" for name in ("torch", "torchvision")
    }


def test_nothing_but_torch_needs_the_packages_that_the_cpu_lock_drops(repository, export_environment, lock):
    dropped = set(export_environment.locked_versions(lock)) - set(
        export_environment.locked_versions((repository / "requirements-cpu.lock").read_text())
    )
    kept = set(export_environment.locked_versions(lock)) - dropped - {"torch"}
    for name in kept:
        needed = export_environment.installed_requirements(name)
        always = {canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})}
        assert not always & dropped, f"{name} needs {always & dropped}: it has no CPU variant"


@pytest.mark.parametrize("variant", ["", "-cpu"])
def test_conda_file_is_valid_and_pins_the_lock(repository, export_environment, variant):
    conda = yaml.safe_load((repository / f"environment{variant}.yml").read_text())
    *plain, last = conda["dependencies"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert plain == [f"python={export_environment.python_version((repository / 'pyproject.toml').read_text())}", "pip"]
    pins = {canonicalize_name(pin.name): str(pin.specifier) for pin in map(Requirement, last["pip"])}
    locked = export_environment.locked_versions((repository / f"requirements{variant}.lock").read_text())
    assert pins == {name: f"=={version}" for name, version in locked.items()}


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-cpu.lock", "environment.yml", "environment-cpu.yml"]
)
def test_lock_names_no_machine_and_no_index(repository, name):
    assert not re.search(r"://|@ |file:|^-", re.sub(r"^ .*$", "", (repository / name).read_text(), flags=re.M))


def test_dockerfile_is_well_formed_and_copies_what_exists(repository):
    text = re.sub(r"\\\n\s*", " ", (repository / "containers" / "Dockerfile").read_text())
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    assert steps[0][0] == "FROM" and not steps[0][1].endswith(":latest")
    assert {keyword for keyword, _ in steps} <= DOCKER
    arguments = dict(rest.split("=", 1) for keyword, rest in steps if keyword == "ARG")
    copied = [source for keyword, rest in steps if keyword == "COPY" for source in rest.split()[:-1]]
    assert copied[0] == "${LOCK}"
    for source in [arguments["LOCK"], *copied[1:]]:
        assert (repository / source).exists(), f"the Dockerfile copies {source}, which is not there"
    ignored = (repository / "containers" / "Dockerfile.dockerignore").read_text().splitlines()
    for source in copied[1:]:
        assert f"!{source.removeprefix('./')}" in ignored, f"Dockerfile.dockerignore hides {source} from the build"


def test_apptainer_recipe_is_well_formed_and_copies_what_exists(repository):
    text = (repository / "containers" / "dynfocus.def").read_text()
    head, *sections = re.split(r"^%(?=\w)", text, flags=re.M)
    assert re.search(r"^Bootstrap: docker\nFrom: python:\d\.\d+-\S+$", head, flags=re.M)
    named = {section.split("\n", 1)[0]: section.split("\n", 1)[1] for section in sections}
    assert set(named) == APPTAINER
    for line in filter(None, map(str.strip, named["files"].splitlines())):
        source, target = line.split()
        assert (repository / source).exists(), f"the recipe copies {source}, which is not there"
        assert target == f"/dynfocus/{source}"


def test_both_recipes_start_from_one_base_and_install_one_lock(repository):
    docker, apptainer = ((repository / "containers" / name).read_text() for name in ("Dockerfile", "dynfocus.def"))
    bases = [re.search(r"python:\S+", text)[0] for text in (docker, apptainer)]
    assert bases[0] == bases[1]
    for text in (docker, apptainer):
        assert "requirements.lock" in text and "--no-deps --no-build-isolation --editable ." in text
