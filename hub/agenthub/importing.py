"""Importing what a project names: a module, or a file that need not be on the path."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def module_of(file: str) -> ModuleType:
    """The module of a file (`….py`, absolute) or of a dotted name; the same one each time.

    Raises whatever its code raises.
    """
    if not file.endswith(".py"):
        return importlib.import_module(file)
    path = Path(file)
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == file:
        # another file of the project imported it: a second copy would have agents of its own
        return loaded
    if loaded is not None or name in sys.stdlib_module_names:
        # `types.py` is a fine name for a file, but not for a module
        name = f"{name}_{hashlib.sha256(file.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # user code pickles and resolves annotations by module name
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # whoever imports it must fail as well, and not find one half of it
        sys.modules.pop(name, None)
        raise
    return module


def import_ahead(*modules: str) -> None:
    """Import what a library leaves for its first call, if the project uses the library: better now than
    while a run waits."""
    for module in modules:
        if module.partition(".")[0] in sys.modules:
            importlib.import_module(module)
