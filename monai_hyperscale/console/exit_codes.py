"""Exit codes of every command."""

from __future__ import annotations

__all__ = ["DONE", "EXIT_CODES", "FAILED", "INTERRUPTED", "USAGE"]

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

EXIT_CODES = """\
Exit codes:
  0    done
  1    some or all images failed; the others were done
  2    wrong arguments, or a bundle that cannot be used; nothing was done
  130  interrupted; files written so far are whole
"""
