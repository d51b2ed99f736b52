from __future__ import annotations

import subprocess
import sys


def test_no_module_of_osteon_imports_airflow() -> None:
    code = "import sys, pkgutil, importlib, osteon\n"
    code += "for m in pkgutil.walk_packages(osteon.__path__, 'osteon.'):\n"
    code += "    if m.name != 'osteon.served_model': importlib.import_module(m.name)\n"
    code += "assert not [name for name in sys.modules if name.split('.')[0] == 'airflow']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
