"""The environment of a child: on purpose, not by inheritance alone."""

from collections.abc import Collection, Mapping


def child_environment(
    environ: Mapping[str, str],
    *,
    hidden: Collection[str],
    tmpdir: str,
    values: Mapping[str, str],
) -> dict[str, str]:
    """A child's whole environment.

    environ: What it starts from. hidden: Variables it must not see (the keys of other services).
    tmpdir: Becomes its TMPDIR, and stands for ``{tmpdir}`` in *values*, which are set last.
    """
    child = dict(environ)  # at once, as each look-up in the system's environment decodes
    for name in hidden:
        child.pop(name, None)
    child["NO_COLOR"] = "1"
    child["TMPDIR"] = tmpdir
    for name, value in values.items():
        child[name] = value.replace("{tmpdir}", tmpdir)
    return child
