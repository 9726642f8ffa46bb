"""Python's garbage collector, calmed for programs in which nearly everything is in use."""

from __future__ import annotations

import gc

_DEFAULT_THRESHOLDS = (700, 10, 10)
_CALMER_THRESHOLDS = (10_000, 20, 20)

_spared = False


def spare_the_collector() -> None:
    """Make the collector's rounds fewer and shorter, once per process.

    What is imported by now is taken out of its sight, and it runs less often unless the program has
    set thresholds of its own. Without this, a run with a thousand agents, or the replay of many runs,
    spends a third of its time walking objects that are all in use.
    """
    global _spared
    # Asking the collector whether it has been done would take it 11 ms.
    if _spared:
        return
    _spared = True
    gc.freeze()
    if gc.get_threshold() == _DEFAULT_THRESHOLDS:
        gc.set_threshold(*_CALMER_THRESHOLDS)
