# Every target sets up what it needs. `make help` lists them.
EXP ?= phrases
CONFIG ?=
# EXP is the name of an experiment or the path of its folder.
LOGDIR ?= $(if $(findstring /,$(EXP))$(filter . ..,$(EXP)),$(EXP)/out,ml_playground/experiments/$(EXP)/out)
PORT ?= 6006

# A misspelt `exp=x` would run the default in silence.
OPTIONS := EXP CONFIG LOGDIR PORT NANOGPT ONLY TEXT UV_FIND_LINKS PIP_FIND_LINKS SHELL
UNKNOWN := $(filter-out $(OPTIONS),$(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word))))))
ifneq ($(UNKNOWN),)
$(error unknown option $(firstword $(UNKNOWN))=: there are EXP= CONFIG= LOGDIR= PORT= NANOGPT= ONLY= TEXT=, in capitals)
endif
ifeq ($(strip $(EXP)),)
$(error EXP= is empty: name an experiment, or leave it out for phrases)
endif

UV := $(shell command -v uv || echo python3 -m uv)
RUN := $(UV) run
CLI := $(RUN) python -m ml_playground.cli
# Each test computes with one thread, so as many run at once as there are cores.
PYTEST := $(RUN) pytest -n logical --dist worksteal
# A target for each verb of the command line, as its table has them.
TABLE := ml_playground/commands/__init__.py
VERBS := $(shell sed -n 's/^    "\([a-z]*\)": [A-Za-z]*Verb.*/\1/p' $(TABLE))
EXPERIMENT_VERBS := lit $(shell sed -n 's/^    "\([a-z]*\)": [ER][a-z]*Verb.*/\1/p' $(TABLE))
# Those that need not name one experiment get what is set, and no default.
GIVEN = $(if $(filter $@,$(EXPERIMENT_VERBS))$(filter-out file,$(origin EXP)),"$(EXP)")
ARGS = $(GIVEN) $(if $(CONFIG),--exp-config "$(CONFIG)")
READY := .venv/.ready
GGUF_READY := .venv-gguf/.ready
LIT_READY := .venv-lit/.ready
LIT_TESTS_READY := .venv-lit/.tests-ready

# uv does not read pip's folder of local wheels by itself.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.DEFAULT_GOAL := help
.PHONY: setup verify pins bitsandbytes help format lint pyright mypy imports quality quality-ext test unit unit-cov integration e2e \
	acceptance test-gguf test-lit test-faults test-fuzz test-browser bench bench-gguf bench-finetuning \
	$(VERBS) tensorboard clean

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'
	@awk -F '"' '/^    "[a-z]*": [A-Za-z]*Verb/ {printf "  %-16s %s\n", $$2, $$4}' $(TABLE)
	@echo
	@echo "  EXP=<experiment> (now $(EXP))  CONFIG=<path of a TOML file>  LOGDIR=<folder>  PORT=<number>"

setup: $(READY) ## create .venv with everything the project needs

$(READY): pyproject.toml constraints.txt
	@$(UV) --version >/dev/null 2>&1 || { \
		echo "uv is missing: installing it with pip (user install)"; \
		python3 -m pip install --quiet --user uv 2>/dev/null \
		|| python3 -m pip install --quiet uv 2>/dev/null \
		|| python3 -m pip install --quiet --user --break-system-packages uv \
		|| { echo "pip could not install uv; see https://docs.astral.sh/uv/ for other ways"; exit 1; }; }
	@test ! -L .venv || { echo ".venv is a link, and setting up would empty the folder that it leads to: remove it"; exit 1; }
	$(UV) venv --quiet --clear
	$(UV) pip install --quiet --python .venv --constraints constraints.txt -e '.[dev]'
	@touch $@

verify: $(READY) ## show versions and devices, and check that the command line works
	@$(RUN) python -c "import platform, torch; print('Python', platform.python_version(), '- PyTorch', torch.__version__)"
	@$(RUN) python -c "from ml_playground.runtime import resolve; print('device = \"auto\" is', resolve('auto', 'float32').device)"
	@$(CLI) list

format: $(READY) ## format the code and sort its imports
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

lint: $(READY) ## ruff: lint and format, without changing anything
	$(RUN) ruff check .
	$(RUN) ruff format --check .

pyright: $(READY) ## pyright, strict
	$(RUN) pyright

mypy: $(READY) ## mypy, strict
	$(RUN) mypy .

imports: $(READY) ## import-linter: the layers of DEVELOPMENT.md
	$(RUN) lint-imports

quality: lint pyright mypy imports test ## all checks that a change must pass

quality-ext: quality ## quality, then mutation testing of a few pure modules (does not fail; takes minutes)
	-@mkdir -p out/cosmic-ray
	-@$(RUN) python -c "import toml; print(toml.dumps({'cosmic-ray': toml.load('pyproject.toml')['tool']['cosmic-ray']}))" \
		> out/cosmic-ray/config.toml
	-@test -f out/cosmic-ray/session.sqlite || $(RUN) cosmic-ray init out/cosmic-ray/config.toml out/cosmic-ray/session.sqlite
	-@$(RUN) cosmic-ray exec out/cosmic-ray/config.toml out/cosmic-ray/session.sqlite
	-@$(RUN) cr-report out/cosmic-ray/session.sqlite | tail -n 3

pins: $(READY) ## write the installed versions to constraints.txt
	$(UV) pip freeze --quiet --python .venv --exclude-editable | sed 's/+cpu//' > constraints.txt

bitsandbytes: $(READY) ## install what [train.hf_model] quantization needs, for CUDA
	$(UV) pip install --python .venv --constraints constraints.txt bitsandbytes

test: $(READY) ## all tests
	$(PYTEST)

unit integration e2e acceptance: $(READY)
	$(PYTEST) tests/$@
unit: ## tests of single modules
integration: ## tests of several modules together
e2e: ## tests of the command line in separate processes
acceptance: ## tests of what the documents promise

unit-cov: $(READY) ## unit tests with coverage
	$(RUN) pytest tests/unit --cov --cov-report=term-missing

test-gguf: $(GGUF_READY) ## compare exported models with llama.cpp, built in .venv-gguf; takes minutes
	LLAMA_CPP=.venv-gguf/llama-cpp-python/vendor/llama.cpp .venv-gguf/bin/python -m pytest tests/gguf

test-lit: $(LIT_TESTS_READY) ## LIT with real models: what it shows is what the analysis computes
	.venv-lit/bin/python -m pytest tests/lit

test-faults: $(READY) ## kills, failing calls, damaged files, power cuts: minutes; FAULTS_ALL=1 tries all, for hours
	$(RUN) pytest tests/faults

test-fuzz: $(READY) ## unusual configurations, texts, tables and prompts, generated by hypothesis; takes minutes
	$(RUN) pytest tests/fuzz

test-browser: $(LIT_TESTS_READY) ## open pages, and LIT, in Chromium, which must be installed
	.venv-lit/bin/python -m pytest tests/browser

$(GGUF_READY): $(READY)
	$(UV) venv --quiet --clear --seed .venv-gguf
	.venv-gguf/bin/python -m pip download --quiet --constraint constraints.txt --no-deps --no-binary :all: \
		--dest .venv-gguf/source llama-cpp-python
	mkdir .venv-gguf/llama-cpp-python
	tar -xzf .venv-gguf/source/llama_cpp_python-*.tar.gz -C .venv-gguf/llama-cpp-python --strip-components 1
	CMAKE_ARGS="-DLLAVA_BUILD=OFF" $(UV) pip install --quiet --python .venv-gguf --constraints constraints.txt \
		--no-binary llama-cpp-python -e '.[dev,gguf]'
	@touch $@

$(LIT_READY): $(READY) lit_nlp/requirements.txt
	$(UV) venv --quiet --clear .venv-lit
	$(UV) pip install --quiet --python .venv-lit --constraints constraints.txt -e '.[all]'
	$(UV) pip install --quiet --python .venv-lit --no-deps --requirements lit_nlp/requirements.txt
	@touch $@

$(LIT_TESTS_READY): $(LIT_READY)
	$(UV) pip install --quiet --python .venv-lit --constraints constraints.txt -e '.[dev]'
	@touch $@

lit: $(LIT_READY)
	.venv-lit/bin/python -m ml_playground.cli $@ $(ARGS)

$(filter-out lit,$(VERBS)): $(READY)
	$(CLI) $@ $(ARGS)

bench: $(READY) ## benchmark beside nanoGPT and write docs/benchmarks.md: NANOGPT=<folder of a clone> ONLY=<some> TEXT=<file>
	@test -n "$(NANOGPT)" || { echo "set NANOGPT to the folder of a clone of github.com/karpathy/nanoGPT"; exit 2; }
	$(RUN) python -m benchmarks "$(NANOGPT)" $(ONLY) $(if $(TEXT),--text "$(TEXT)")

bench-gguf: $(GGUF_READY) ## benchmark llama.cpp on exported models beside built-in sampling; writes docs/benchmarks.md
	.venv-gguf/bin/python -m benchmarks.exported

bench-finetuning: $(READY) ## benchmark fine-tuning beside Hugging Face's trainer; writes docs/benchmarks.md
	$(RUN) python -m benchmarks.finetuning

tensorboard: $(READY) ## show the curves in LOGDIR at http://localhost:PORT
	@test -d "$(LOGDIR)" || { echo "no runs in $(LOGDIR): set EXP to an experiment that was trained, or LOGDIR to a folder"; exit 2; }
	$(RUN) tensorboard --logdir "$(LOGDIR)" --port $(PORT)

clean: ## remove caches and reports; data, runs and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov dist out/cosmic-ray
	find . -path './.venv*' -prune -o -name __pycache__ -type d -print | xargs rm -rf
