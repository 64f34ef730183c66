"""What the three packages never do: unpickle, evaluate text, hand text to a shell, or write a
user's words into SQL.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    file
    for package in ("objectives", "spaces", "search")
    for file in (ROOT / package).rglob("*.py")
)
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
EVALUATORS = {"eval", "exec", "compile", "__import__"}
SHELLS = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "os.execl",
    "os.spawnl",
}
# f-strings and names in SQL: what each may hold that is no constant of its own module, and why it
# is no user's word
NO_WORDS = {
    ("search/trials/claims.py", "ALIVE.text"),  # a constant of the roster
    ("search/trials/leases.py", "float(seconds)"),  # a number
}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or an attribute; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute) if owner := dotted(value):
            return f"{owner}.{attribute}"
        case _:
            return ""


def breaches(tree: ast.Module, where: str) -> Iterator[str]:
    """Every broken rule of one module, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        names = (
            {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.Import)
            else set()
        )
        names |= {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()
        yield from (f"{where}:{line} imports {name}" for name in names & PICKLERS)
        if isinstance(node, ast.Call):
            yield from (f"{where}:{line} {breach}" for breach in _of_call(node, tree, where))


def _of_call(call: ast.Call, tree: ast.Module, where: str) -> Iterator[str]:
    name = dotted(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in EVALUATORS:
        yield f"calls {name}"
    if name in SHELLS or _is(keywords.get("shell"), True):
        yield "hands text to a shell"
    if name == "torch.load" and not _is(keywords.get("weights_only"), True):
        yield "calls torch.load, which runs what it reads"
    if name in (
        "torch.jit.load",
        "torch.package.PackageImporter",
        "np.save",
        "numpy.save",
    ):
        yield f"calls {name}"
    if name in ("np.load", "numpy.load", "np.savez", "np.savez_compressed") and _is(
        keywords.get("allow_pickle"), True
    ):
        yield "lets numpy pickle"
    if name in ("np.load", "numpy.load") and not _is(keywords.get("allow_pickle"), False):
        yield "does not forbid numpy to unpickle"
    if (
        name.startswith("yaml.")
        and name.endswith(("load", "load_all", "compose"))
        and not name.startswith("yaml.safe")
    ):
        loaders = [dotted(keywords["Loader"])] if "Loader" in keywords else []
        if not loaders or not all(_is_safe_loader(loader, tree) for loader in loaders):
            yield "reads YAML without a safe loader"
    if name == "text" or name.endswith((".text", ".execute", ".exec_driver_sql")):
        yield from (
            f"puts {word} into SQL"
            for word in _words_in_sql(call, tree)
            if (where, word) not in NO_WORDS
        )


def _is(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_safe_loader(name: str, tree: ast.Module) -> bool:
    """A class of this module whose base makes plain values alone."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return any(
        dotted(base) in ("yaml.SafeLoader", "yaml.BaseLoader")
        for each in classes
        for base in each.bases
    )


def _words_in_sql(call: ast.Call, tree: ast.Module) -> Iterator[str]:
    """The parts of a statement that are no constants of the module."""
    constants = {
        dotted(target)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for argument in call.args[:1]:
        parts = [part.value for part in ast.walk(argument) if isinstance(part, ast.FormattedValue)]
        if isinstance(argument, ast.BinOp | ast.Call) and not parts:
            method = argument.func if isinstance(argument, ast.Call) else None
            joins = method is None or (
                isinstance(method, ast.Attribute) and method.attr in ("format", "join")
            )
            parts = (
                [argument]
                if joins and any(isinstance(each, ast.Constant) for each in ast.walk(argument))
                else []
            )
        for part in parts:
            if not (dotted(part) in constants | imported and dotted(part).isupper()):
                yield ast.unparse(part)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_module_is_safe(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert list(breaches(tree, file.relative_to(ROOT).as_posix())) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "connection.execute(text(f'SELECT {name}'))",
        "connection.execute('SELECT ' + name)",
        "cursor.execute('SELECT {}'.format(name))",
        "text('SELECT %s' % name)",
    ],
)
def test_each_rule_is_seen_broken(code: str) -> None:
    assert list(breaches(ast.parse(code), "search/x.py"))


def test_good_code_passes() -> None:
    code = """
class L(yaml.SafeLoader): pass
Q = "x"
torch.load(f, weights_only=True)
np.load(f, allow_pickle=False); yaml.load(t, Loader=L); yaml.safe_load(t); text(f"SELECT {Q}"); model.eval(); run(["ls", name])
connection.execute(text("SELECT :name"), {"name": name})
"""
    assert list(breaches(ast.parse(code), "search/x.py")) == []
