"""The memory that one inference takes, of a GPU by torch's allocator and of a CPU by a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import IO, Optional

import torch
import torch.nn as nn

#: What the figure is of, said where it is shown.
WORKING_MEMORY = "working memory is the peak of one inference, beside the weights, the image and the process"

# Arrays of the size of feature maps get pages of their own, which go back when they are freed: what is resident is
# what is in use.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**18), "MALLOC_TRIM_THRESHOLD_": str(2**18)}


class MemoryProbe:
    """Measures the peak memory of inferences on a device, beside that of the weights and the image.

    On a GPU it is what torch's allocator held at most. On a CPU it is by how much the resident set of a process grows:
    one that has done nothing else than warm up with a corner of the image, made anew for every inference. Where the
    system does not tell it or has no ``fork`` (Windows) there is no figure.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._server: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> MemoryProbe:
        return self

    def __exit__(self, *error: object) -> None:
        server, self._server = self._server, None
        if server is not None and server.stdin is not None and server.stdout is not None:
            server.stdin.close()
            server.stdout.close()
            server.wait()

    def peak(self, run: nn.Module, image: torch.Tensor) -> Optional[int]:
        """Return the peak bytes of one call of a module without φ on ``image``, ``None`` where it is not known."""
        if self.device.type == "cuda":
            return self._on_gpu(run, image)
        if not hasattr(os, "fork"):
            return None
        if self._server is None:
            self._server = self._start()
        server = self._server
        assert server.stdin is not None and server.stdout is not None
        request = pickle.dumps((torch.get_num_threads(), run, image.contiguous()))
        try:
            server.stdin.write(len(request).to_bytes(8, "little") + request)
            server.stdin.flush()
            answer = json.loads(server.stdout.readline() or b"null")
        except OSError:  # the server is gone
            return None
        return None if answer is None else int(answer)

    def _on_gpu(self, run: nn.Module, image: torch.Tensor) -> int:
        with torch.inference_mode():
            run(image)
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            run(image)
            torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device) - before

    def _start(self) -> subprocess.Popen[bytes]:
        # Not multiprocessing, whose processes run the caller's main module again; and not by the module's name, which
        # would import the whole package for it.
        start = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", start, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_MALLOC},
        )


def _serve(requests: IO[bytes]) -> None:
    """Answer every request from a process of its own; this one computes nothing, so that it can fork."""
    imported = False
    while size := requests.read(8):
        content = requests.read(int.from_bytes(size, "little"))
        if not imported:
            # Here too, so that what it imports is imported once.
            pickle.loads(content)
            imported = True
        child = os.fork()
        if child == 0:
            try:
                answer = _measure(content)
            except BaseException:  # no figure, whatever the reason, and never on with the loop
                answer = None
            os.write(1, f"{json.dumps(answer)}\n".encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:  # killed, for want of memory most likely
            os.write(1, b"null\n")


def _measure(content: bytes) -> int:
    threads, run, image = pickle.loads(content)  # from the process that started this one
    torch.set_num_threads(threads)
    with torch.inference_mode():
        # Code is loaded and threads are made by this.
        corner = (slice(None), slice(None), *[slice(0, 16)] * (image.dim() - 2))
        run(image[corner].contiguous())
        _trim()
        before = _resident("VmRSS")
        run(image)
    return max(0, _resident("VmHWM") - before)


def _trim() -> None:
    """Give freed memory back to the system, and forget the peak so far."""
    import ctypes
    from contextlib import suppress

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _resident(what: str) -> int:
    """Return the present (``VmRSS``) or the greatest (``VmHWM``) resident set in bytes."""
    try:
        # Not getrusage where there is a choice: it has no present value, and a process inherits its figure.
        with open("/proc/self/status", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines[what].split()[0]) * 1024
    except (OSError, KeyError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _serve(sys.stdin.buffer)
