import subprocess
import sys

import pytest

pytest.importorskip("mmcv", reason="needs the mmseg extra")


def _python(code: str) -> str:
    """Run code in a fresh interpreter, where nothing has been imported yet, and return what it prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_an_absent_extension_imports_and_says_what_it_is_when_called() -> None:
    printed = _python(
        "import importlib.util, sys, types\n"
        "from contrastbench.core.hosts.mmseg.extension import _StandIn\n"
        "try:\n"
        "    _StandIn('mmcv._ext').nms(1, 2)\n"
        "except NotImplementedError as error:\n"
        "    print(error)\n"
    )

    assert "'nms' is a compiled operation of full mmcv" in printed


def test_a_real_extension_is_left_alone() -> None:
    printed = _python(
        "import sys, types\n"
        "real = sys.modules['mmcv._ext'] = types.ModuleType('mmcv._ext')\n"
        "from importlib import util\n"
        "spec = util.spec_from_file_location('extension', "
        "util.find_spec('contrastbench.core.hosts').submodule_search_locations[0] + '/mmseg/extension.py')\n"
        "extension = util.module_from_spec(spec)\n"
        "spec.loader.exec_module(extension)\n"
        "extension.stand_in()\n"
        "print(sys.modules['mmcv._ext'] is real)\n"
    )

    assert printed == "True"


def test_importing_the_host_warns_of_nothing_and_prints_nothing() -> None:
    assert _python("import warnings; warnings.simplefilter('error'); import contrastbench.core.hosts.mmseg") == ""
