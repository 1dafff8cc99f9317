"""Makes wheels that carry the compiled core, where it was built before; without it they are the same for every machine.

All else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

CORES = Path(__file__).parent / "dsocr" / "kernels" / "lib"


class Package(Distribution):
    """The package, which belongs to one kind of machine once its core is compiled."""

    def has_ext_modules(self) -> bool:
        """Whether a compiled core goes along."""
        return any(CORES.glob("core-*"))


class Wheel(bdist_wheel):
    """A wheel whose name says for which machine it is."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI and platform."""
        # The core asks for no version of Python, only for the machine it was compiled for.
        platform = super().get_tag()[2]
        return "py3", "none", platform


setup(distclass=Package, cmdclass={"bdist_wheel": Wheel})
