#!/usr/bin/env bash
# Every check and timing of the GPU, on a machine that has only the built program and a PyTorch 2.11 installation.
#
#     benches/gpu.sh PATH/TO/cairn [words of `cairn device`]
#
# The weights are found through CAIRN_WEIGHTS (a folder with lite0.safetensors) when they do not lie where the program was built.
set -euo pipefail
program="${1:?usage: benches/gpu.sh PATH/TO/cairn}"
shift
lib="${CAIRN_TORCH_LIB:-$(python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')}"
export CAIRN_TORCH_LIB="$lib"
# One libtorch in the process: the PyTorch installation's own, instead of the CPU one that the program was linked with.
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$program" device --device cuda --training resnet101-gem "$@"
# The same step in plain PyTorch, in the same run: the two figures make a ratio.
exec python3 "$(dirname "$0")/train_step.py" --device cuda
