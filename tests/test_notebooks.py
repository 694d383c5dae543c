"""Notebooks: clean in git, parameterised, honest about failure."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from conftest import write_params
from nbclient import NotebookClient
from project import TOP, run_cells
from trained import assert_same, result, study_at

from acfd.runs import run
from acfd.stages import notebook
from acfd.stages.notebook import NotebookError

NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))


def code(nb) -> list:
    return [c for c in nb.cells if c.cell_type == "code"]


@pytest.fixture
def written(tmp_path):
    """Write a notebook of these cells; the first is its parameters."""

    def write(*sources: str) -> Path:
        cells = [nbformat.v4.new_code_cell(s) for s in sources]
        cells[0].metadata["tags"] = ["parameters"]
        path = tmp_path / "some.ipynb"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nb = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(nb, path)
        return path

    return write


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_in_git_without_outputs_and_readable(path):
    subprocess.run(["nbstripout", "--verify", path], check=True)
    nb = nbformat.read(path, as_version=4)
    assert sum("parameters" in c.metadata.get("tags", []) for c in nb.cells) == 1
    assert "assert" in nb.cells[-1].source, "it should end in a cell that checks what it claims"
    opens = nb.cells[0].source
    assert "*Asks*: " in opens and "*In the paper*: " in opens


@pytest.mark.parametrize(("folder", "left"), [("notebooks", True), ("elsewhere", False)])
def test_a_notebook_opened_by_hand_sees_the_project(tmp_path, folder, left):
    """As JupyterLab does it: the kernel starts in the notebook's folder."""
    here = tmp_path / folder
    here.mkdir()
    (tmp_path / "params.yaml").write_text("preset: pocket\n")
    cell = nbformat.v4.new_code_cell("import acfd, os\nprint(os.getcwd())")
    nb = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(nb, resources={"metadata": {"path": str(here)}}).execute()
    assert nb.cells[0].outputs[0].text.strip() == str(tmp_path if left else here)


def test_a_run_keeps_results_and_no_traces_of_when(written, tmp_path, capfd):
    path = written("n = 1", "import sys; print('progress', file=sys.stderr); print(n + 1)", "n * 3")
    nb = nbformat.read(path, as_version=4)  # as JupyterLab saves it after a run
    code(nb)[1].outputs = [nbformat.v4.new_output("stream", text="of yesterday\n")]
    nb.metadata["widgets"] = {"state": {"at": "noon"}}
    nbformat.write(nb, path)
    copies = []
    for name in ("a", "b"):
        target = tmp_path / "deep" / f"{name}.ipynb"
        notebook.run(path, target, {"n": 4})
        copies.append(target.read_bytes())
    assert copies[0] == copies[1]
    nb = nbformat.reads(copies[0].decode(), as_version=4)
    outputs = [o for c in code(nb) for o in c.outputs]
    assert [o.get("text", o.get("data", {}).get("text/plain")) for o in outputs] == ["5\n", "12"]
    live = capfd.readouterr()
    assert "progress" in live.err and "5" in live.out  # shown while it runs
    assert all(o.get("name") != "stderr" for o in outputs)


def test_what_cannot_run_or_fails_says_where_and_leaves_no_result(written, tmp_path):
    target = tmp_path / "out.ipynb"
    path = written("n = 1", "n / 0")
    with pytest.raises(NotebookError, match=r"no parameter m; .* has: n"):
        notebook.run(path, target, {"m": 1})
    with pytest.raises(NotebookError, match="no notebook"):
        notebook.run(tmp_path / "none.ipynb", target, {})
    assert not (tmp_path / "out.failed.ipynb").exists(), "it ran"
    with pytest.raises(NotebookError, match=r"ZeroDivisionError[^\n]*\n.*out\.failed\.ipynb"):
        notebook.run(path, target, {})
    assert not target.exists() and (tmp_path / "out.failed.ipynb").exists()


def test_training_shows_its_method_and_stays_the_same_to_the_bit(
    small_params, toy_faces, tmp_path, monkeypatch
):
    row = "cls_at_dis_gan"
    alone = study_at(tmp_path / "alone", toy_faces.folder)
    expected = result(run.run(small_params, row, 0, alone, progress=False))
    paths = study_at(tmp_path, toy_faces.folder, small_params.preset)
    write_params(small_params, tmp_path)
    monkeypatch.chdir(tmp_path)
    known = run_cells("03_train")  # its parameters are this row and seed
    assert_same(result(paths.run(row, 0)), expected)
    assert not paths.figures.exists()
    # what is shown of the first batch is what the first step has; a critic learns before L_Gan
    same = ["cls", "at", "dis"]
    shown, first = known["seen"].terms.set_index("term")["value"], expected[1].iloc[0]
    assert shown[same].tolist() == pytest.approx(first[same].tolist())
    outs = known["seen"].parts.set_index("out")["shape"]
    assert outs["V_H"] == outs["V_L"] == "B x 728 x 4 x 4" and outs["M_L"] == "B x 1 x 4 x 4"
    assert outs["C_L"] == "B x 2048" and outs["D"] == "B"
