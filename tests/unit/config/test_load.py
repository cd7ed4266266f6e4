from pathlib import Path

import pytest

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.data.tokenizers.options import HuggingFace
from ml_playground.errors import ConfigError
from ml_playground.training.schedules.cosine import Cosine
from tests.project import shape


class Folder:
    """A folder of TOML files that stands for an experiment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "config.toml") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def load(self, text: str, name: str = "config.toml", *, check_devices: bool = False) -> ExperimentConfig:
        path = self.write(text, name)
        return load_config(path, name="mine", folder=self.path, check_devices=check_devices)

    def problems(self, text: str, name: str = "config.toml", *, check_devices: bool = False) -> list[str]:
        with pytest.raises(ConfigError) as error:
            self.load(text, name, check_devices=check_devices)
        return error.value.problems


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def test_an_empty_file_is_a_whole_configuration(folder: Folder) -> None:
    config = folder.load("")
    assert config.prepare.dataset == "mine"
    assert config.train.data.dataset_dir == config.prepare.dataset_dir == folder.path / "datasets"
    assert config.train.runtime.out_dir == config.sample.runtime.out_dir == folder.path / "out" / "mine"
    assert config.train.model.block_size == config.train.data.block_size
    assert isinstance(config.train.schedule, Cosine)
    assert config.train.schedule.lr_decay_iters == config.train.runtime.max_iters


def test_a_run_goes_by_the_name_of_its_file_so_that_a_variant_never_resumes_another(folder: Folder) -> None:
    folder.write("")
    assert folder.load('extends = "config.toml"', "wider.toml").train.runtime.out_dir == folder.path / "out" / "wider"


def test_a_default_follows_the_key_that_it_is_taken_from(folder: Folder) -> None:
    config = folder.load('[train.data]\nblock_size = 7\n[train.runtime]\nmax_iters = 9\nout_dir = "o"')
    assert config.train.model.block_size == 7
    assert isinstance(config.train.schedule, Cosine)
    assert config.train.schedule.lr_decay_iters == 9
    assert config.sample.runtime.out_dir == folder.path / "o"


def test_a_loaded_configuration_cannot_be_changed(folder: Folder) -> None:
    config = folder.load("")
    with pytest.raises(ValueError, match="frozen"):
        config.train.data.batch_size = 3  # type: ignore[misc] # the point of the test


def test_extends_merges_key_by_key(folder: Folder) -> None:
    folder.write("[train.data]\nbatch_size = 3\nblock_size = 5\n[train.model]\nn_layer = 2", "base.toml")
    config = folder.load('extends = "base.toml"\n[train.data]\nbatch_size = 4')
    assert (config.train.data.batch_size, config.train.data.block_size, shape(config.train.model).n_layer) == (4, 5, 2)


def test_extends_is_looked_for_beside_the_file_then_from_the_project_root(folder: Folder) -> None:
    folder.write("", "pyproject.toml")
    folder.write("extends = false\n[train.model]\nn_layer = 2", "base.toml")
    assert shape(folder.load('extends = "base.toml"', "deep/down/a.toml").train.model).n_layer == 2
    folder.write("extends = false\n[train.model]\nn_layer = 3", "deep/down/base.toml")
    assert shape(folder.load('extends = "base.toml"', "deep/down/a.toml").train.model).n_layer == 3


def test_extends_goes_over_several_files(folder: Folder) -> None:
    folder.write("[train.model]\nn_layer = 1\nn_head = 1\nn_embd = 8", "a.toml")
    folder.write('extends = "a.toml"\n[train.model]\nn_layer = 2\nn_head = 2', "b.toml")
    model = shape(folder.load('extends = "b.toml"\n[train.model]\nn_layer = 3').train.model)
    assert (model.n_layer, model.n_head, model.n_embd) == (3, 2, 8)


def test_paths_count_from_the_project_root_of_the_file_that_states_them(folder: Folder) -> None:
    folder.write("", "project/pyproject.toml")
    folder.write('[prepare]\nraw_dir = "texts"\ndataset_dir = "data"', "project/sub/base.toml")
    config = folder.load('extends = "project/sub/base.toml"\n[prepare]\ndataset_dir = "mine"')
    assert config.prepare.raw_dir == folder.path / "project" / "texts"
    assert config.prepare.dataset_dir == folder.path / "mine"


def test_a_prompt_file_is_a_path_like_any_other(folder: Folder) -> None:
    assert folder.load('[sample.sample]\nstart = "FILE:p.txt"').sample.sample.start == f"FILE:{folder.path / 'p.txt'}"
    assert folder.load('[sample.sample]\nstart = "p.txt"').sample.sample.start == "p.txt"


def test_what_is_written_down_names_paths_below_the_root_relatively(folder: Folder) -> None:
    text = '[prepare]\nraw_dir = "/elsewhere"\n[sample.sample]\nstart = "FILE:p.txt"'
    resolved = folder.load(text).resolved()
    assert resolved["sample"]["sample"]["start"] == "FILE:p.txt"
    assert resolved["train"]["runtime"]["out_dir"] == "out/mine"
    assert resolved["prepare"]["raw_dir"] == "/elsewhere"
    assert resolved["train"]["optim"]["beta2"] == 0.99


FINE_TUNING = '[prepare]\ntokenizer = "huggingface"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[train.data]\nbatch_sise = 3", "2: [train.data] batch_sise: unknown key (did you mean batch_size?)"),
        ("[train.data]\nzzz = 3", "2: [train.data] zzz: unknown key"),
        ("[train.model]\nbeta1 = 0.9", "2: [train.model] beta1: unknown key (it belongs in [train.optim])"),
        ("[trian]\nx = 1", "1: [trian]: unknown section (did you mean train?)"),
        ("[train.modle]\nx = 1", "1: [train.modle]: unknown section (did you mean model?)"),
        ("seed = 1", "1: seed: unknown key (it belongs in [train.runtime] or [sample.runtime])"),
        ("[train]\nmodel = 3", "2: [train.model]: must be a table, or the name of a kind, not 3"),
        ("train = 3", "1: [train]: must be a table, not 3"),
        ('[train.data]\nbatch_size = "12"', '2: [train.data] batch_size: must be a whole number, not "12"'),
        ("[train.data]\nbatch_size = 1.5", "2: [train.data] batch_size: must be a whole number, not 1.5"),
        ("[train.data]\nbatch_size = true", "2: [train.data] batch_size: must be a whole number, not true"),
        ("[train.data]\nbatch_size = 0", "2: [train.data] batch_size: must be more than 0, not 0"),
        ("[train.model]\ndropout = 1", "2: [train.model] dropout: must be less than 1, not 1"),
        ("[train.optim]\nbeta1 = -0.5", "2: [train.optim] beta1: must be at least 0, not -0.5"),
        ("[sample.sample]\ntop_p = 1.5", "2: [sample.sample] top_p: must be at most 1, not 1.5"),
        ("[train.optim]\nlearning_rate = nan", "2: [train.optim] learning_rate: must be a finite number, not NaN"),
        ('[train.optim]\nlearning_rate = "x"', '2: [train.optim] learning_rate: must be a number, not "x"'),
        ("[train.model]\nbias = 1", "2: [train.model] bias: must be true or false, not 1"),
        ("[sample.sample]\nstart = 1", "2: [sample.sample] start: must be text in quotes, not 1"),
        ('[train.runtime]\nout_dir = ""', '2: [train.runtime] out_dir: must be a path in quotes, not ""'),
        ("[prepare]\nraw_dir = 1", "2: [prepare] raw_dir: must be a path in quotes, not 1"),
        (
            '[train.data]\nsampler = "randon"',
            (
                '2: [train.data] sampler: must be one of "random", "sequential", "epoch"; not "randon"'
                " (did you mean random?)"
            ),
        ),
        (
            '[prepare]\nencoding = "utf9"',
            '2: [prepare] encoding: unknown encoding "utf9" ("auto", "utf-8" and "cp1252" are the usual ones)',
        ),
        ("[train.model]\nn_head = 3", "2: [train.model] n_head: 3 heads do not divide n_embd = 128"),
        ("[train.model]\nn_embd = 6", "2: [train.model] n_embd: 4 heads do not divide n_embd = 6"),
        (
            "[train.data]\nblock_size = 64\n[train.model]\nblock_size = 32",
            "2: [train.data] block_size: 64 is beyond the model's block_size = 32",
        ),
        (
            "[train.schedule]\nwarmup_iters = 11\n[train.runtime]\nmax_iters = 10",
            "2: [train.schedule] warmup_iters: warm-up of 11 steps is longer than training, max_iters = 10",
        ),
        (
            "[train.schedule]\nwarmup_iters = 8\nlr_decay_iters = 7",
            "3: [train.schedule] lr_decay_iters: the decay ends at step 7, within the warm-up of 8 steps",
        ),
        (
            "[train.schedule]\nmin_lr = 1e-2",
            "2: [train.schedule] min_lr: 0.01 is above learning_rate = 0.001",
        ),
        ("train.modle.x = 1", "1: [train.modle]: unknown section (did you mean model?)"),
        ("trian.x = 1", "1: [trian]: unknown section (did you mean train?)"),
        ("[train]\nmodle.x = 1", "2: [train.modle]: unknown section (did you mean model?)"),
        (
            '[prepare]\nencoding = "rot13"',
            '2: [prepare] encoding: unknown encoding "rot13" ("auto", "utf-8" and "cp1252" are the usual ones)',
        ),
        (
            "[train.peft]\ntarget_modules = [1]",
            "2: [train.peft] target_modules: must be text in quotes, not 1",
        ),
        (
            '[train.peft]\ntarget_modules = "q_proj"',
            '2: [train.peft] target_modules: must be a list, such as ["q_proj"], not "q_proj"',
        ),
        (
            "[train.peft]\nuse_dora = true",
            "2: [train.peft] use_dora: means nothing without [train.hf_model] model_name: the model to train",
        ),
        (
            "[train.runtime]\nsave_merged_on_best = true",
            "2: [train.runtime] save_merged_on_best: needs [train.hf_model] model_name",
        ),
        ('[train]\nplugins = ["x.py"]', "2: [train] plugins: unknown key (it belongs at the top of the file)"),
        (
            '[train]\noptim.kind = {kind = "muon"}',
            (
                '2: [train.optim.kind]: must be one of "adamw", "muon", "adam", "adagrad", "sgd", "rmsprop"; '
                'not {"kind": "muon"}'
            ),
        ),
        (
            '[plot]\nx = ["steps", "epochs"]',
            '2: [plot] x: must be one of "steps", "tokens", "flops", "seconds"; not "epochs"',
        ),
        ('[prepare]\nchair = "drop"', "2: [prepare] chair: unknown key (it belongs in [prepare.source])"),
        (
            '[prepare.source]\nchair = "drop"',
            '2: [prepare.source] chair: "text" has no option chair (it is an option of "speeches")',
        ),
        (
            '[prepare]\ndocuments = "lines"',
            (
                '2: [prepare] documents: unknown key (here it is [prepare.source] kind: "text" for "whole", "lines", '
                '"files", or "speeches" for a table)'
            ),
        ),
        (
            '[prepare]\ntokenizer_from = "x"',
            "2: [prepare] tokenizer_from: unknown key (here it is [prepare.tokenizer] model)",
        ),
        (
            "[prepare]\nval_fraction = 0.2",
            "2: [prepare] val_fraction: unknown key (it belongs in [prepare.split])",
        ),
        (
            "[prepare]\nadd_structure_tokens = true",
            '2: [prepare] add_structure_tokens: needs a source of whole documents, such as "files", not "text"',
        ),
        (
            '[prepare]\nsource = "lines"\nadd_structure_tokens = ["mood"]',
            '3: [prepare] add_structure_tokens: needs a source of whole documents, such as "files", not "lines"',
        ),
        (
            '[prepare]\nsource = "speeches"\nadd_structure_tokens = ["party", "year", "party"]',
            '3: [prepare] add_structure_tokens: has "party" twice',
        ),
        (
            '[prepare]\nadd_structure_tokens = "yes"',
            "2: [prepare] add_structure_tokens: must be true, false or a list of names in quotes",
        ),
        (
            '[prepare]\nsource = "speeches"\nadd_structure_tokens = ["speaker", "mood"]',
            '3: [prepare] add_structure_tokens: source = "speeches" has speaker, party, year, topic, not mood',
        ),
        (
            '[prepare]\nsource = "lines"\nsplit = "position"',
            '3: [prepare.split] kind: "position" splits running text, but [prepare] source = "lines" has documents',
        ),
        (
            '[prepare.split]\nkind = "hash"',
            '2: [prepare.split] kind: "hash" splits documents, but [prepare] source = "text" has running text',
        ),
        (
            '[prepare.source]\nkind = "speeches"\ninterjections = "tag"',
            (
                '3: [prepare.source] interjections: needs tokenizer = "huggingface", to which tokens can be added; '
                '"char" is fixed'
            ),
        ),
        (
            FINE_TUNING + '[train.data]\nblock_size = 8\n[train.hf_model]\nmodel_name = "m"\nblock_size = 4',
            "4: [train.data] block_size: 8 is beyond [train.hf_model] block_size = 4",
        ),
        (
            '[prepare]\ntokenizer = {kind = "huggingface", model = "other"}\n[train.hf_model]\nmodel_name = "m"',
            "2: [prepare.tokenizer] model: must be [train.hf_model] model_name = m, which knows its own tokens only",
        ),
        ('[prepare]\nsource = "files"\ndoc_separator = ""', "3: [prepare] doc_separator: must not be empty"),
        ("[train.peft]\ntarget_modules = []", "2: [train.peft] target_modules: must not be empty"),
        (
            FINE_TUNING + '[train.hf_model]\nmodel_name = "m"\nquantization = "4bit"\n[train.peft]\nenabled = false',
            "7: [train.peft] enabled: false trains all weights, which cannot be done with quantized ones",
        ),
        (
            FINE_TUNING + '[train.hf_model]\nmodel_name = "m"\nquantization = "8bit"\n[train.runtime]\ndevice = "cpu"',
            '5: [train.hf_model] quantization: is for CUDA; set "none"',
        ),
        ("\ufeff[train.data]\nbatch_size = 0", "2: [train.data] batch_size: must be more than 0, not 0"),
        (
            "[train.model]\nn_embd = 1",
            "1: [train.model] head_dim: must be more than 0, not 0, which follows from other options",
        ),
        ("train.data = {batch_size = 0}", "1: [train.data] batch_size: must be more than 0, not 0"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Folder, text: str, problem: str) -> None:
    assert folder.problems(text) == [f"config.toml:{problem}"]


@pytest.mark.parametrize(
    "text",
    [
        "[train.schedule]\nwarmup_iters = 10\n[train.runtime]\nmax_iters = 10",
        "[train.schedule]\nwarmup_iters = 8\nlr_decay_iters = 8",
        '[train.schedule]\nkind = "constant"\nwarmup_iters = 8',
        "[train.schedule]\nmin_lr = 1e-3",
        "[train.data]\nblock_size = 32\n[train.model]\nblock_size = 32",
        "[train.data]\nblock_size = 32\n[train.model]\nblock_size = 64",
        "[train.optim]\nlearning_rate = 1",
        "[train.model]\nn_head = 128",
        "[train.runtime]\nmax_iters = 0",
    ],
)
def test_what_just_fits_is_accepted(folder: Folder, text: str) -> None:
    folder.load(text)


def test_all_mistakes_are_told_at_once_contradictions_too(folder: Folder) -> None:
    problems = folder.problems(
        "[train.data]\nbatch_sise = 3\n[train.model]\nn_head = 3\n[train.optim]\nbeta1 = 2\n"
        "[train.schedule]\nwarmup_iters = 5000"
    )
    assert [problem.split(": ")[0] for problem in problems] == [f"config.toml:{line}" for line in (2, 4, 6, 8)]


def test_a_contradiction_with_a_bad_value_is_not_told_twice(folder: Folder) -> None:
    assert len(folder.problems("[train.model]\nn_head = 3\nn_embd = -1")) == 1
    assert len(folder.problems('[train.runtime]\nmax_iters = "9"')) == 1


def test_a_mistake_in_an_extended_file_is_told_there(folder: Folder) -> None:
    folder.write("\n[train.data]\nbatch_size = 0", "base.toml")
    assert folder.problems('extends = "base.toml"')[0].startswith("base.toml:3: ")


def test_a_file_that_is_no_toml_is_told_with_its_line(folder: Folder) -> None:
    assert folder.problems("[a]\nb = = 1") == ["config.toml:2: not valid TOML: Invalid value"]
    assert folder.problems("a = [1,\n2") == ["config.toml:2: not valid TOML: Unclosed array"]


def test_a_missing_file_is_named(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.toml: cannot be read: No such file"):
        load_config(folder.path / "nowhere.toml", name="mine", folder=folder.path)


def test_a_file_in_another_encoding_is_named(folder: Folder) -> None:
    path = folder.path / "config.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"^config\.toml: is not UTF-8 text \(byte 5\)$"):
        load_config(path, name="mine", folder=folder.path)


def test_extending_what_is_not_there_says_where_it_was_looked_for(folder: Folder) -> None:
    folder.write("", "pyproject.toml")
    problems = folder.problems('extends = "base.toml"', "deep/a.toml")
    assert problems == ["deep/a.toml:1: extends: no such file (looked for deep/base.toml and base.toml)"]


def test_extending_in_a_circle_is_an_error(folder: Folder) -> None:
    folder.write('extends = "config.toml"', "b.toml")
    problems = folder.problems('# comment\nextends = "b.toml"')
    assert problems == ["b.toml:1: extends: goes in a circle (config.toml -> b.toml -> config.toml)"]


def test_extends_must_be_text(folder: Folder) -> None:
    assert folder.problems("extends = 3") == [
        "config.toml:1: extends: must be text, the path of another TOML file (or false, for none)"
    ]


def test_a_device_that_is_not_there_is_told_only_to_those_who_need_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_playground.config.devices.sys.platform", "linux")
    text = '[train.runtime]\ndevice = "mps"'
    assert folder.load(text).train.runtime.device == "mps"
    assert folder.problems(text, check_devices=True) == [
        'config.toml:2: [train.runtime] device: mps needs a Mac with Apple silicon ("auto" takes the best available)'
    ]


def test_a_variant_of_the_same_name_elsewhere_has_a_run_of_its_own(folder: Folder) -> None:
    folder.write("", "config.toml")
    variant = folder.load('extends = "../config.toml"', "variants/config.toml")
    assert variant.train.runtime.out_dir == folder.path / "out" / "config"


def test_a_preset_of_another_experiment_is_refused(folder: Folder) -> None:
    """Else its text would be prepared over that of the experiment that the command names."""
    for name in ("mine", "other"):
        folder.write("", f"{name}/config.toml")
        folder.write("", f"{name}/prepare.py")
    preset = folder.write('extends = "../other/config.toml"', "presets/other_cpu.toml")
    with pytest.raises(ConfigError, match="extends the experiment other, but the command names mine"):
        load_config(preset, name="mine", folder=folder.path / "mine")
    load_config(preset, name="other", folder=folder.path / "other")
    own = folder.write('extends = "../other/config.toml"', "mine/like_other.toml")
    load_config(own, name="mine", folder=folder.path / "mine")


def test_the_first_of_several_keys_that_has_a_value_is_the_default(folder: Folder) -> None:
    tuned = folder.load(FINE_TUNING + '[train.hf_model]\nmodel_name = "hub/model"\nrevision = "v1"\n')
    assert isinstance(tuned.prepare.tokenizer, HuggingFace)
    assert (tuned.prepare.tokenizer.model, tuned.prepare.tokenizer.revision) == ("hub/model", "v1")
    begun = folder.load(FINE_TUNING + '[train.model]\ninit_from = "hub/other"\n')
    assert (begun.prepare.tokenizer.of_model, begun.train.hf_model.block_size) == ("hub/other", 64)
    assert tuned.train.hf_model.model_name == "hub/model"
