"""Remove from installed packages what the server never loads: `python trim_packages.py FOLDER`.

The image's test starts the server on what is left and classifies with it, so a file too many cannot vanish unnoticed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# Globs below the folder, with the reason. OpenVINO reads ONNX on the processor and nothing else here.
UNUSED = {
    "openvino/libs/*intel_gpu*": "another device",
    "openvino/libs/*intel_npu*": "another device",
    "openvino/libs/cache.json": "tuned kernels of the GPU plugin",
    "openvino/libs/*auto*plugin*": "chooses between devices, of which there is one",
    "openvino/libs/*hetero_plugin*": "splits a network over devices",
    "openvino/libs/*_pytorch_frontend*": "networks come as ONNX",
    "openvino/libs/*_tensorflow*_frontend*": "networks come as ONNX",
    "openvino/libs/*_paddle_frontend*": "networks come as ONNX",
    "openvino/libs/*_jax_frontend*": "networks come as ONNX",
    "openvino/libs/*_gguf_frontend*": "networks come as ONNX",
    "openvino/libs/*_ir_frontend*": "networks come as ONNX",
    "openvino/libs/libopenvino_c.so*": "the C interface; Python has its own",
    "openvino/libs/libtbbmalloc*": "an allocator that is only used when it is preloaded",
    "openvino/libs/libtbbbind*": "binds threads to NUMA nodes; pinning is off",
    "openvino/libs/libhwloc*": "needed by tbbbind only",
    "openvino/libs/*.pc": "for compilers",
    "openvino/include": "for compilers",
    "openvino/cmake": "for compilers",
    "openvino/tools": "converts models, and holds the telemetry's stub",
    "openvino/torch": "runs inside PyTorch",
    "openvino/frontend/pytorch": "converts models",
    "openvino/frontend/tensorflow": "converts models",
    "openvino/frontend/jax": "converts models",
    "openvino/frontend/paddle": "converts models",
    "openvino/preprocess/torchvision": "converts torchvision's transforms",
    "ncnn/model_zoo": "other networks, from the Internet",
    "ncnn/utils": "for the model zoo",
    "numpy/_core/_simd*": "tests of NumPy itself",
    "numpy/_core/*_tests*": "tests of NumPy itself",
    "numpy/distutils": "compiles extensions",
    "numpy/f2py": "compiles Fortran",
    "numpy/fft": "Fourier transforms",
    "numpy/polynomial": "polynomials",
    "numpy/testing": "for tests",
    "numpy/_core/include": "for compilers",
    "numpy/_core/lib": "for compilers",
    "numpy/random": "random numbers",
    "PIL/_imagingft*": "draws text",
    "PIL/_imagingcms*": "converts colour profiles",
    "PIL/_imagingtk*": "shows windows",
    "pillow.libs/libbrotli*": "for drawing text",
    "pillow.libs/libfreetype*": "for drawing text",
    "pillow.libs/libharfbuzz*": "for drawing text",
    "pillow.libs/libpng*": "for drawing text",
    "pillow.libs/liblcms2*": "for colour profiles",
    "**/tests": "tests of the packages themselves",
    "**/*.pyi": "for type checkers",
    "bin": "start scripts with the build machine's interpreter in them",
}


def trim(folder: Path) -> int:
    """Remove everything in UNUSED from `folder`; returns the bytes freed.

    Raises:
        SystemExit: a pattern matches nothing, so a new release of a package has moved what it names.
    """
    freed = 0
    for pattern, reason in UNUSED.items():
        found = list(folder.glob(pattern))
        if not found:
            raise SystemExit(f"{pattern} ({reason}) matches nothing in {folder}: adjust container/trim_packages.py")
        for path in found:
            freed += sum(file.lstat().st_size for file in [path, *path.rglob("*")] if file.is_file())
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return freed


if __name__ == "__main__":
    print(f"removed {trim(Path(sys.argv[1])) / 1e6:.0f} MB that the server never loads")
