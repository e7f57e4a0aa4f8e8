"""The typed settings are the one source: the pages and the schema are made from them, and the files are valid."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from goodsubnet import settings
from goodsubnet.cli import main
from goodsubnet.errors import UserError
from goodsubnet.runtime.plugins import KINDS
from goodsubnet.settings import documentation
from goodsubnet.settings.documentation import models_of, schema, with_tables

ROOT = Path(__file__).parents[3]
CONFIGURATIONS = sorted(ROOT.glob("config/*.yaml"))


def raw(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / name).read_text())


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_every_configuration_is_valid(path, capsys):
    main(["check", str(path)])
    assert "is valid" in capsys.readouterr().out


def test_the_readmes_configurations_are_valid():
    """A first one, and what a second one has in place of parts of it."""
    texts = (ROOT / "README.md").read_text().split("```yaml\n")[1:]
    whole = {}
    for text in texts:
        whole |= yaml.safe_load(text.split("```")[0])
        assert settings.load_configuration(whole).targets == ["mine"]
    assert len(texts) == 2
    assert settings.load_configuration(whole).kind_of("mine") == "deep"


def test_the_page_and_the_schema_are_those_of_the_models():
    """Where this fails: `goodsubnet document`."""
    page = (ROOT / "config/README.md").read_text()
    assert with_tables(page) == page
    assert json.loads((ROOT / "config/schema.json").read_text()) == schema()


def test_every_key_is_explained():
    shown = [documentation.BEFORE, documentation.NETWORKS, documentation.METHODS, documentation.AFTER]
    models = [model for places in shown for model in places]
    models += [model for kind in KINDS for model in models_of(kind).values()]
    assert len(models) > 40
    for model in models:
        for key, field in model.model_fields.items():
            assert field.description, f"{model.__module__}.{model.__name__}.{key}"


def test_the_sweep_is_the_papers():
    chosen = settings.load_configuration(raw("config.yaml"))
    assert chosen.targets == ["figure1", "theory", "random_matrices", "pruning_times", "table1", "table2"]
    figure1, plain = chosen.experiments["figure1"], chosen.experiments["figure1_plain"]
    assert [chosen.networks[name].width for name in figure1.networks] == [5000, 10000, 20000]
    assert figure1.examples == [1000, *range(5000, 50001, 5000)]
    assert figure1.seeds == [0, 1, 2]
    assert figure1.pretrain.checkpoint_iterations == list(range(0, 8001, 1000))
    assert chosen.methods["greedy"].steps == 200
    assert (figure1.pretrain.lr_scaling, plain.pretrain.lr_scaling) == ("per_neuron", "plain")
    same = {"learning_rate", "lr_scaling"}
    assert plain.pretrain.model_dump(exclude=same) == figure1.pretrain.model_dump(exclude=same)
    assert plain.model_dump(exclude={"pretrain"}) == figure1.model_dump(exclude={"pretrain"})


def test_the_tables_are_the_papers():
    chosen = settings.load_configuration(raw("config.yaml"))
    table1, constant, table2 = (chosen.experiments[name] for name in ("table1", "table1_constant_rate", "table2"))
    assert table1.examples == [10000, 30000, 50000]
    assert table1.pretrain.checkpoint_iterations == [20000, 40000, 60000, 80000]
    assert (table1.finetune.iterations, table1.finetune.learning_rate) == (2500, 0.01)
    assert constant.pretrain.schedule == "constant"
    assert constant.model_dump(exclude={"pretrain"}) == table1.model_dump(exclude={"pretrain"})
    epoch = -(-1281167 // 128)
    assert table2.examples == [1281167]
    assert table2.pretrain.checkpoint_iterations == [50 * epoch, 100 * epoch, 150 * epoch]
    assert table2.finetune.iterations == 80 * epoch
    assert table2.pretrain.weight_decay == 4e-5
    for table, reference in ((table1, "table1"), (table2, "table2")):
        pretrain = table.pretrain
        assert table.paper_table == reference
        assert pretrain.schedule_iterations == pretrain.iterations
        assert (pretrain.batch_size, pretrain.learning_rate, pretrain.momentum) == (128, 0.1, 0.9)
        assert [chosen.networks[name].architecture for name in table.networks] == ["mobilenet_v2", "resnet34"]
    assert {chosen.methods[name].flops_ratio for name in table2.methods} == {0.6, 0.4}


def test_an_experiment_without_its_images_is_switched_off():
    chosen = settings.load_configuration(raw("config.yaml"))
    assert chosen.switched_off("table2")
    assert chosen.target_experiments == ["figure1", "theory", "table1"]
    named = raw("config.yaml")
    named["datasets"]["imagenet"]["path"] = "imagenet"
    chosen = settings.load_configuration(named)
    assert chosen.target_experiments == ["figure1", "theory", "table1", "table2"]
    assert not chosen.switched_off("random_matrices")


def test_kinds_of_networks():
    chosen = settings.load_configuration(raw("demo.yaml"))
    assert {name: chosen.kind_of(name) for name in chosen.experiments} == {
        "demo": "two_layer",
        "methods": "two_layer",
        "theory": "two_layer",
        "table": "deep",
    }


@pytest.mark.parametrize(
    ("counts", "said"),
    [({"cat": 9}, "there is one class, cat"), ({"cat": 9, "dog": 30}, "the smallest class \\(cat\\) has only 9")],
)
def test_classes_that_a_folder_turns_out_to_have(counts, said):
    chosen = settings.load_configuration(raw("demo.yaml"))
    with pytest.raises(ValueError, match=said):
        chosen.check_classes("table", counts)
    chosen.check_classes("table", {"cat": 600, "dog": 700})


def test_all_faults_are_told_at_once():
    wrong = raw("demo.yaml")
    wrong["figurs"] = {}
    wrong["threads"] = {"pretrain": 0}
    wrong["experiments"]["demo"]["pretrain"]["learning_rate"] = -1
    with pytest.raises(UserError) as error:
        settings.load_configuration(wrong)
    assert str(error.value).splitlines() == [
        "the configuration is not valid:",
        "  threads.pretrain: input should be greater than or equal to 1, got 0",
        "  experiments.demo.pretrain.learning_rate: input should be greater than 0, got -1",
        "  figurs: unknown key; did you mean figures?",
    ]


def test_a_key_of_a_method_is_checked_by_its_own_model():
    wrong = raw("demo.yaml")
    wrong["methods"]["greedy"]["step"] = 3
    with pytest.raises(UserError, match=r"methods\.greedy\.step: unknown key; did you mean steps\?"):
        settings.load_configuration(wrong)


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not valid YAML"), ("", "holds no keys")])
def test_files_that_are_no_configuration(tmp_path, text, said):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SystemExit, match=said):
        main(["check", str(tmp_path / "x.yaml")])
    with pytest.raises(SystemExit, match="No such file"):
        main(["check", str(tmp_path / "y.yaml")])


def test_parsing_imports_nothing_heavy():
    code = (
        "import sys; sys.path.insert(0, 'workflow'); import yaml; from chain import Chain;"
        "from goodsubnet import preflight; from goodsubnet.settings import load_configuration as load;"
        "configuration = load(yaml.safe_load(open('config/config.yaml'))); chain = Chain(configuration);"
        "chain.settings('plan', {'experiment': 'figure1', 'table': 'bounds'}); preflight.check(configuration);"
        "[chain.products(target) for target in configuration.targets];"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'sklearn', 'numba', 'PIL') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_evaluation_and_subsets_import_no_torch():
    for script in ("subset", "evaluate", "collect", "prune", "plan", "terms", "bounds", "thresholds"):
        code = f"import sys; sys.path.insert(0, 'scripts'); import {script}; print('torch' in sys.modules)"
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert result.stdout == "False\n", result.stderr


def test_pip_and_conda_have_the_same_versions():
    lines = (ROOT / "envs/requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    environment = yaml.safe_load((ROOT / "envs/environment.yaml").read_text())
    (conda,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert conda == pins
    assert all("==" in pin for pin in pins)
    project = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("]")[0]
    asked = {line.strip(' ",').split(">=")[0] for line in project.splitlines() if line.strip()}
    assert asked <= {pin.split("==")[0] for pin in pins}
