"""Mistakes in exporting."""

import pytest

from tests.acceptance.mistakes.collection import configured, mistake
from tests.project import Outcome, Project

configured("exporting what was never trained", {"sample.runtime.out_dir": '"tiny/out/other"'}, "export")
configured("exporting nothing", {"export.hf.enabled": "false", "export.gguf.enabled": "false"}, "export")
configured("a folder that holds no model", {"export.hf.source": '"tiny"'}, "export")
configured("a missing converter", {"export.ollama.convert_bin": '"llama.cpp"'}, "export")
configured("a missing quantizer", {"export.ollama.quant_bin": '"llama-quantize"'}, "export")


@mistake("a model that no other program has")
def no_class(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.model.kind": '"modern"', "train.runtime.out_dir": '"tiny/out/modern"'})
    project.ok("train")
    return project.run("export")
