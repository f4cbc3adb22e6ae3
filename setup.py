"""The folder `X/` at the root is the package `dreamvla_edge.X`."""

from setuptools import find_packages, setup

FOLDERS = (
    "calibrate",
    "cli",
    "demo",
    "deploy",
    "export",
    "kernels",
    "model",
    "runtime",
    "sim",
    "train",
)

setup(
    packages=[
        f"dreamvla_edge.{package}"
        for folder in FOLDERS
        for package in (folder, *(f"{folder}.{sub}" for sub in find_packages(folder)))
    ],
    package_dir={f"dreamvla_edge.{folder}": folder for folder in FOLDERS},
    include_package_data=False,
    package_data={
        "": ["py.typed"],
        "dreamvla_edge.calibrate": ["presets/*.toml"],
        "dreamvla_edge.demo": ["*.safetensors", "*.toml", "*.md", "*.png", "bundle/*"],
        "dreamvla_edge.deploy": ["requirements-*.txt"],
        "dreamvla_edge.export": ["data_sets/*", "vocabulary/*"],
        "dreamvla_edge.kernels": ["cuda/*", "emulation/*.cpp", "emulation/*.h"],
        "dreamvla_edge.runtime.arms": ["*.toml"],
    },
)
