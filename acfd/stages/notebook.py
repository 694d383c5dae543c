"""Notebooks as stages, run with papermill."""

import os
import sys
import time
from pathlib import Path

# With this package, jsonschema builds grammars of internationalised addresses as it is imported:
# three seconds a stage, and no notebook has such addresses.
sys.modules.setdefault("rfc3987_syntax", None)

import nbformat  # noqa: E402
import papermill  # noqa: E402

from acfd.paths import atomic  # noqa: E402


class NotebookError(RuntimeError):
    """A notebook that is not there, was given parameters it does not have, or failed."""


def clean(notebook: nbformat.NotebookNode):
    """Remove in place what differs from one run to the next: progress, times, names of cells, the
    version of Python."""
    for i, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        cell.id = f"cell-{i}"
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(about)


def run(source: Path, target: Path, parameters: dict) -> Path:
    """Execute a notebook from the project's top folder and keep the executed copy as `target`,
    without progress, times and counts. What its cells print is shown live. Of a notebook that
    fails, the copy up to the error stays as <target>.failed.ipynb."""
    if not source.is_file():
        raise NotebookError(f"no notebook {source}; run from the project's top folder")
    known = papermill.inspect_notebook(str(source))
    if unknown := set(parameters) - set(known):
        raise NotebookError(
            f"{source} has no parameter {', '.join(sorted(unknown))}; its cell tagged "
            f"'parameters' has: {', '.join(known) or 'none'}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = target.with_suffix(".failed.ipynb")
    began = time.perf_counter()
    shown = {"progress_bar": False, "stdout_file": sys.stdout, "stderr_file": sys.stderr}
    # the kernel's own notes on its start and end are no news of the study
    kernel = {"kernel_name": "python3", "extra_arguments": ["--IPKernelApp.log_level=50"]}
    try:
        papermill.execute_notebook(
            str(source), str(failed), parameters, cwd=os.getcwd(), **shown, **kernel
        )
    except papermill.PapermillExecutionError as error:
        raise NotebookError(
            f"{source} failed in cell {error.cell_index}: {error.ename}: {error.evalue}\n"
            f"The notebook up to there: {failed}"
        ) from None
    executed = nbformat.read(failed, as_version=4)
    clean(executed)
    with atomic(target) as f:
        nbformat.write(executed, f)
    failed.unlink()
    print(f"{source.name}: {time.perf_counter() - began:.0f} s", flush=True)
    return target
