"""One folder, and the promise that nothing opened through it lies outside.

A path that a model wrote is hostile until proven otherwise: it may climb with `..`, be absolute, hold a NUL, or
lead through a symbolic link that somebody swaps between the check and the use. Checking first and opening after
loses that race, so here the kernel resolves and opens in one step: `openat2(2)` with `RESOLVE_BENEATH` and
`RESOLVE_NO_MAGICLINKS` where Linux has it. Elsewhere the path is walked one component at a time with `O_NOFOLLOW`
from the folder's own descriptor, which follows no link at all: stricter, equally free of races, and portable to
every POSIX system.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import posixpath
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_MACHINES_WITH_THE_COMMON_NUMBER = {"x86_64", "aarch64", "riscv64", "ppc64le", "s390x"}


class PathRefused(Exception):
    """A path that may not be used; the message says why and is fit for the one who asked."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that paths are taken relative to and never leave."""

    folder: Path
    """Absolute and free of symbolic links."""

    @classmethod
    def at(cls, root: str, *, base: Path | None = None) -> Root:
        """The folder `root`, relative to `base` or else to the working directory.

        Raises: ValueError if there is no such folder.
        """
        if not root or "\0" in root:
            raise ValueError(f"root must be the path of a folder, not {root!r}.")
        folder = (base or Path.cwd()) / Path(root).expanduser()
        if not folder.is_dir():
            raise ValueError(
                f"root {str(folder)!r} {'is not a folder' if folder.exists() else 'does not exist'}."
            )
        return cls(folder.resolve())

    def relative(self, path: str) -> str:
        """`path` in its one normal spelling: relative, `/` between parts, `.` for the folder itself.

        Raises: PathRefused for absolute paths, NUL bytes, unencodable names and paths that climb out.
        """
        if "\0" in path:
            raise PathRefused(f"{path!r} holds a NUL byte, which no path can.")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise PathRefused(f"{path!r} is not a possible file name.") from None
        if path.startswith("/"):
            raise PathRefused(f"{path!r} is absolute; give a path relative to the root folder.")
        normal = posixpath.normpath(path or ".")
        if normal == ".." or normal.startswith("../"):
            raise PathRefused(f"{path!r} leaves the root folder.")
        return normal

    def open(self, path: str, flags: int, *, mode: int = 0o666, links: bool = True) -> int:
        """Opens `path` beneath the folder and gives the descriptor.

        With `links=False` no component may be a symbolic link. Special files are opened without waiting for
        their other end, so that a FIFO cannot hang the caller.

        Raises: PathRefused where the path or one of its links leaves the folder; OSError as `os.open` does.
        """
        path = self.relative(path)
        flags |= os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _kernel_resolves():
                return _open_in_kernel(folder, path, flags, mode=mode, links=links)
            return _open_by_walking(folder, path, flags, mode=mode)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.ELOOP):
                raise PathRefused(
                    f"{path!r} goes through a symbolic link that may not be followed."
                ) from None
            raise
        finally:
            os.close(folder)

    @contextmanager
    def folder_open(self, path: str, *, links: bool = True) -> Generator[int, None, None]:
        """The folder `path`, opened for the time of the block."""
        descriptor = self.open(path, os.O_RDONLY | os.O_DIRECTORY, links=links)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, *, limit: int, links: bool = True) -> tuple[bytes, os.stat_result]:
        """The first `limit` bytes of a regular file, with its status at the moment of opening.

        Raises: PathRefused for anything but a regular file, and as `open` does; OSError.
        """
        descriptor = self.open(path, os.O_RDONLY, links=links)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PathRefused(
                    f"{path!r} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a file'}."
                )
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limit), status
        finally:
            os.close(descriptor)


def _open_in_kernel(folder: int, path: str, flags: int, *, mode: int, links: bool) -> int:
    resolve = _BENEATH | _NO_MAGICLINKS | (0 if links else _NO_SYMLINKS)
    how = _OpenHow(flags, mode & 0o7777 if flags & os.O_CREAT else 0, resolve)
    for _ in range(16):
        descriptor = _openat2(folder, path, how)
        if descriptor >= 0:
            return descriptor
        # EAGAIN: something was renamed while the kernel resolved; it cannot vouch for the answer, so ask again.
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def _open_by_walking(folder: int, path: str, flags: int, *, mode: int) -> int:
    *parents, last = path.split("/")
    current = os.dup(folder)
    try:
        for parent in parents:
            step = os.open(
                parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current
            )
            os.close(current)
            current = step
        return os.open(last, flags | os.O_NOFOLLOW, mode, dir_fd=current)
    except NotADirectoryError:
        if _is_link(parents, folder):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        raise
    finally:
        os.close(current)


def _is_link(parents: list[str], folder: int) -> bool:
    """Whether a symbolic link is among `parents`: with O_DIRECTORY some systems answer ENOTDIR for one."""
    for count in range(1, len(parents) + 1):
        try:
            mode = os.stat("/".join(parents[:count]), dir_fd=folder, follow_symlinks=False).st_mode
        except OSError:
            return False
        if stat.S_ISLNK(mode):
            return True
    return False


def _openat2(folder: int, path: str, how: _OpenHow) -> int:
    return int(
        _syscall()(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
    )


@functools.cache
def _syscall() -> ctypes._NamedFuncPointer:  # pyright: ignore[reportPrivateUsage]
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return call


@functools.cache
def _kernel_resolves() -> bool:
    """Whether this system has `openat2`; old kernels and some container filters do not."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES_WITH_THE_COMMON_NUMBER:
        return False
    descriptor = _openat2(-100, ".", _OpenHow(os.O_RDONLY | os.O_CLOEXEC, 0, 0))
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True
