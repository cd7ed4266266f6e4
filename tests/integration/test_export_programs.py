"""From a trained run to files for llama.cpp and Ollama. What llama.cpp makes of them is in tests/gguf."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize
from hypothesis import example, given
from hypothesis import strategies as st

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.inference.load import load_trained
from ml_playground.interop.exportable import ExportableFolder
from ml_playground.interop.ollama import name_in_ollama, write_modelfile
from ml_playground.run.directory import RunDirectory
from tests.integration.exports import exported
from tests.integration.finetuning import write_model
from tests.project import Project

WRITE_GGUF = """
import sys, gguf, numpy
assert open(sys.argv[1] + "/config.json").read()
writer = gguf.GGUFWriter(sys.argv[3], "llama")
for name in "{tensors}":
    writer.add_tensor(name, numpy.ones(3, numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
"""


def test_what_llama_cpp_cannot_have_is_refused_before_anything_is_written(german: Project) -> None:
    german.configure({"train.model.kind": '"qwen3"', "train.model.sliding_window": "4"})
    german.ok("prepare")
    german.ok("train")
    outcome = german.run("export")
    assert outcome.code == 2
    assert "without its sliding window: [train.model] sliding_window = 4 (not 0)" in outcome.err
    assert not (german.out / "export").exists()
    german.configure({"export.gguf.enabled": "false"})
    german.ok("export")
    assert [path.name for path in (german.out / "export").iterdir()] == ["huggingface"]  # Ollama needs the other too


def test_the_converter_is_not_asked_for_characters(german: Project) -> None:
    (german.root / "convert.py").touch()
    german.configure({"export.ollama.convert_bin": '"convert.py"'})
    german.ok("prepare")
    german.ok("train")
    assert "llama.cpp's converter knows no character vocabularies" in german.run("export").err


def test_a_model_without_a_chat_template_continues_what_it_is_given(tmp_path: Path) -> None:
    text = modelfile(tmp_path, chat_template=None)
    assert 'TEMPLATE """{{ .Prompt }}"""' in text
    assert "PARAMETER num_ctx 64" in text
    assert re.findall(r'PARAMETER stop "(.*)"', text) == ["<|endoftext|>"]


def test_ollama_finds_the_template_and_its_stop_tokens_by_what_the_file_carries(tmp_path: Path) -> None:
    """What a Modelfile states would replace both."""
    text = modelfile(tmp_path, chat_template="{% for m in messages %}<|im_start|>{{ m.role }}")
    assert "TEMPLATE" not in text
    assert "PARAMETER num_ctx 64" in text
    assert "PARAMETER stop" not in text


def test_ollama_is_not_asked_for_more_context_than_machines_have_memory_for(tmp_path: Path) -> None:
    path, sampling = tmp_path / "Modelfile", SamplingConfig.model_validate({})
    write_modelfile(path, tmp_path / "a.gguf", sampling, context=131072, stops=[], has_chat_template=False)
    assert "PARAMETER num_ctx 8192" in path.read_text()


def modelfile(tmp_path: Path, *, chat_template: str | None) -> str:
    """That of a model from elsewhere, whose GGUF file carries a template or does not."""
    folder = write_model(tmp_path / "base", "qwen2")
    gguf = write_gguf(tmp_path / "a.gguf", chat_template)
    sampling = SamplingConfig.model_validate({})
    ExportableFolder.open(folder).write_modelfile(tmp_path / "Modelfile", gguf, sampling)
    return (tmp_path / "Modelfile").read_text()


def write_gguf(path: Path, chat_template: str | None = None) -> Path:
    """A file with one tensor."""
    writer = GGUFWriter(path, "llama")
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    writer.add_tensor("a", np.ones(3, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 5e-3)])
def test_gguf_holds_the_weights_in_the_format_asked_for(german: Project, dtype: str, tolerance: float) -> None:
    german.configure({"train.model.n_embd": "32", "train.model.kind": '"qwen3"', "train.model.n_kv_head": "1"})
    folder = exported(german, {"export.gguf.dtype": f'"{dtype}"'})
    reader = GGUFReader(folder / f"tiny-{dtype}.gguf")
    wanted = {"qwen3.context_length": 8, "qwen3.attention.head_count_kv": 1, "qwen3.embedding_length": 32}
    assert {key: reader.fields[key].contents() for key in wanted} == wanted
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    model = load_trained(RunDirectory(german.out)).model
    embedding = dequantize(tensors["token_embd.weight"].data, tensors["token_embd.weight"].tensor_type)
    ours = model.get_parameter("transformer.wte.weight").detach().numpy()
    np.testing.assert_allclose(embedding, ours, atol=tolerance * np.abs(ours).max(), rtol=0)
    kinds = {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert kinds["token_embd.weight"] == kinds["blk.0.attn_q.weight"] == dtype.upper()
    assert kinds["blk.0.attn_norm.weight"] == kinds["blk.0.attn_q_norm.weight"] == "F32"


def test_rows_that_do_not_divide_into_blocks_are_kept_in_16_bits(german: Project) -> None:
    folder = exported(german, {"export.gguf.dtype": '"q8_0"', "train.model.n_embd": "16"})
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(folder / "tiny-q8_0.gguf").tensors}
    assert kinds["blk.0.attn_qkv.weight"] == "F16"  # 16 long
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # 64 long


def test_the_modelfile_samples_as_the_configuration_says(german: Project) -> None:
    german.configure({"sample.sample.top_k": "7", "sample.sample.min_p": "0.1"})
    german.configure({"sample.sample.repetition_penalty": "1.2"})
    lines = (exported(german) / "Modelfile").read_text().splitlines()
    assert lines[:2] == ["FROM ./tiny-f16.gguf", 'TEMPLATE """{{ .Prompt }}"""']
    said = {line.split()[1]: line.split()[2] for line in lines[2:]}
    assert said == {
        "num_ctx": "8",
        "num_predict": "8",
        "temperature": "0.8",
        "top_k": "7",
        "top_p": "1.0",
        "min_p": "0.1",
        "repeat_penalty": "1.2",
        "repeat_last_n": "-1",
    }
    assert (german.out / "export" / lines[0].removeprefix("FROM ")).is_file()
    out = german.ok("export").out
    assert f"ollama create tiny -f {(german.out / 'export' / 'Modelfile').relative_to(german.root)}" in out
    assert "ollama run tiny" in out


def test_a_folder_with_characters_is_not_given_to_the_converter(german: Project) -> None:
    exported(german)
    german.configure({"export.hf.source": '"tiny/out/tiny/export/huggingface"'})
    assert (
        "huggingface has a character vocabulary, which llama.cpp's converter does not know" in german.run("export").err
    )


def test_a_folder_from_elsewhere_goes_through_the_converter(
    german: Project, gpt2: TiktokenTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(german, {"prepare.tokenizer": f'"{gpt2.encoding}"'}) / "huggingface"
    source = german.root / "merged"
    folder.rename(source)
    (source / "checksums.json").unlink()
    german.configure({"export.hf.source": '"merged"'})
    monkeypatch.setenv("LLAMA_CPP", str(german.root / "nothing_here"))
    monkeypatch.setenv("PATH", "")
    outcome = german.run("export")
    assert outcome.code == 2
    assert "nothing_here, where no convert_hf_to_gguf.py is." in outcome.err
    monkeypatch.delenv("LLAMA_CPP")
    assert "No llama.cpp was found.\n\nGet llama.cpp once, with git" in german.run("export").err
    converter = german.root / "convert_hf_to_gguf.py"
    german.configure({"export.gguf.convert_bin": '"convert_hf_to_gguf.py"'})
    assert f"convert_bin: there is no {converter.name}" in german.run("export").err
    converter.write_text("import sys; sys.exit('the model is not supported')")
    outcome = german.run("export")
    assert outcome.err.startswith("the model is not supported\nThat was (status 1, and no file): ")
    converter.write_bytes(b"import sys; sys.stdout.buffer.write(b'\\xff no text')")
    assert german.run("export").err.startswith("\ufffd no text\nThat was (status 0, and no file): ")
    converter.write_text(WRITE_GGUF.format(tensors="a"))
    german.ok("export")
    assert [tensor.name for tensor in GGUFReader(german.out / "export" / "tiny-f16.gguf").tensors] == ["a"]
    converter.write_text(WRITE_GGUF.format(tensors=""))
    assert "the converter made no GGUF file with weights of" in german.run("export").err
    assert not folder.exists()  # it is in that format already
    weights = source / "model.safetensors"
    weights.rename(source / "elsewhere")
    assert "merged has no weights (*.safetensors)" in german.run("export").err
    for name, text in (("config.json", "{"), ("tokenizer.json", "{}")):
        (source / name).write_text(text)
        assert "merged holds no model in Hugging Face's format" in german.run("export").err


def test_ollama_gets_a_smaller_file_where_a_quantizer_is_named(german: Project) -> None:
    quantizer = german.root / "llama-quantize"
    german.configure({"export.ollama.quant_bin": '"llama-quantize"'})
    german.ok("prepare")
    german.ok("train")
    assert "quant_bin: there is no llama-quantize" in german.run("export").err
    quantizer.write_text(f"#!{sys.executable}\nimport sys; open(sys.argv[2], 'w').write(sys.argv[3])")
    assert "cannot be run: Permission denied" in german.run("export").err
    quantizer.chmod(0o755)
    assert "llama-quantize made no GGUF file with weights of" in german.run("export").err
    quantizer.write_text(
        f"#!{sys.executable}\nimport shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])\n"
        "open('asked', 'w').write(sys.argv[3])"
    )
    german.ok("export")
    assert (german.root / "asked").read_text() == "Q4_K_M"
    assert GGUFReader(german.out / "export" / "tiny-q4_k_m-ollama.gguf").tensors
    assert (german.out / "export" / "Modelfile").read_text().startswith("FROM ./tiny-q4_k_m-ollama.gguf\n")
    assert (german.out / "export" / "tiny-f16.gguf").stat().st_size > 1000


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("tiny", "tiny"),
        ("My Run!", "my-run"),
        ("Größe-2", "groe-2"),
        (".-_x.", "x"),
        ("a" * 200, "a" * 80),
        ("qwen2.5", "qwen2.5"),
    ],
)
def test_ollama_gets_a_name_from_the_runs(run: str, name: str) -> None:
    assert name_in_ollama(run) == name


@given(st.text(min_size=1))
@example("모델")
@example("模型")
@example("---")
@example("...")
@example("\udc80")
@example("-" * 100 + "x")
def test_ollama_gets_a_valid_name_of_any_run(run: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", name_in_ollama(run))


def test_names_without_a_latin_letter_stay_apart() -> None:
    assert name_in_ollama("모델") != name_in_ollama("模型")


def test_ollama_stops_at_each_token_that_ends_a_text(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "base", "qwen2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": [5, 0, 6]}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [6, 7, "x", None, -1, 10**9, True]}))
    source = ExportableFolder.open(folder)
    assert source.stops[0] == "<|endoftext|>"
    assert len(source.stops) == 4  # ids 0, 5, 6 and 7, each once
    source.write_modelfile(tmp_path / "Modelfile", write_gguf(tmp_path / "a.gguf"), SamplingConfig.model_validate({}))
    assert (tmp_path / "Modelfile").read_text().count("PARAMETER stop ") == 4
