"""What the tests need from outside, fetched once into a cache folder: OpenClaw, Node.js, the IRC plugin, an IRC server.

`python -m tests.e2e.harness.install [VERSION...]` fetches ahead of the tests. Progress goes to stderr. Everything is made
under a `.part` name and renamed when it is whole, so a broken download is never taken for an install; a lock file per
item lets test processes side by side wait for each other.

The IRC channel of 2026.9 is a plugin that every gateway has to install by itself (8 s; see `add_irc_plugin`); only its
package is kept in the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.conditions import monotonic

from .failures import InstallError
from .releases import RELEASES, V4_2, Release, release

RETRIES = 2
PATIENCE = 1800.0
IRC_PLUGIN = "@openclaw/irc@2026.9.5"
AXE = "4.10.3"
PODMAN_COMPOSE = "1.6.0"
"""Debian 12 has 1.0.3, which cannot join a service to another's network."""
DEBIAN = "bookworm"
_DEBIAN_NGIRCD = Path("/usr/sbin/ngircd")
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Installation:
    """An installed gateway: the program and the Node.js to run it with."""

    release: Release
    node: Path
    script: Path


def cache_root() -> Path:
    named = os.environ.get("OPENCLAW_WATCHDOG_E2E_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "openclaw-watchdog-e2e"


def installed(wanted: Release, *, tries: int = RETRIES + 1, patience: float = PATIENCE) -> Installation:
    """OpenClaw of that version, from the cache or fetched into it now. ``patience``: seconds for each of the ``tries``."""
    node = _node(wanted.node)
    folder = cache_root() / "versions" / wanted.version
    script = folder / "node_modules" / "openclaw" / "openclaw.mjs"
    package: dict[str, object] = {"dependencies": {"openclaw": wanted.version}}
    if wanted.overrides:
        package["overrides"] = dict(wanted.overrides)
    name = f"openclaw {wanted.version}"
    _ensure_npm_install(
        name, folder, script, package, wanted.npm_flags, path_with(node), tries=tries, patience=patience
    )
    return Installation(wanted, node, script)


def add_irc_plugin(gateway: Installation, belonging: Mapping[str, str], home: Path) -> None:
    """Install the IRC channel into one gateway's state folder, the way its owner would. The gateway must not run, and
    its config must not name the channel yet. `belonging`: the variables that tell one gateway's things from another's.

    A copy kept elsewhere does not do: 2026.9.6 loads it (`plugins.load.paths`) but gives the channel no inbox, because it
    trusts only what its own installer fetched from the registry (log: PLUGIN_TRUST_REFUSED).
    """
    name = f"plugin {IRC_PLUGIN}"
    log = home / "plugin.install.log"
    command = [str(gateway.node), str(gateway.script), "plugins", "install", IRC_PLUGIN]
    kept = {"npm_config_cache": str(cache_root() / "npm"), "npm_config_prefer_offline": "true"}
    wanted = {**_clean_environment(), **belonging, **kept, "PATH": path_with(gateway.node), "NO_COLOR": "1"}
    for attempt in _attempts(name):
        _run(name, command, cwd=home, environment=wanted, log=log, attempt=attempt)
        if attempt.succeeded:
            return
    raise InstallError(f"{IRC_PLUGIN} could not be installed:\n{log.read_text(errors='replace')[-2000:]}")


def ngircd() -> Path:
    """The IRC server, from Debian. Root installs it; anybody else gets it unpacked into the cache."""
    unpacked = cache_root() / "ngircd" / "usr" / "sbin" / "ngircd"
    for candidate in (shutil.which("ngircd"), _DEBIAN_NGIRCD, unpacked):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    if not shutil.which("apt-get"):
        raise InstallError(
            "the IRC tests need ngircd on PATH (Debian: apt-get install ngircd, macOS: brew install ngircd)"
        )
    target = cache_root() / "ngircd"
    with _one_at_a_time(target):
        if os.geteuid() == 0:
            _install_debian_package("ngircd", _log_of(target))
            if not _DEBIAN_NGIRCD.exists():
                raise InstallError(f"apt-get installed ngircd, but there is no {_DEBIAN_NGIRCD}")
            return _DEBIAN_NGIRCD
        if not unpacked.exists():
            _unpack_debian_package(target, "ngircd")
            _checked([str(unpacked), "--version"], _log_of(target), os.environ)
    return unpacked


def libfaketime() -> Path:
    """The library that gives one process a clock of its own, from Debian, unpacked into the cache."""
    target = cache_root() / "libfaketime"
    with _one_at_a_time(target):
        if not target.exists():
            if not shutil.which("apt-get"):
                raise InstallError("a set clock is simulated with Debian's libfaketime, and there is no apt-get here")
            _unpack_debian_package(target, "libfaketime")
    return next(target.rglob("libfaketime.so.1"))


def chromium() -> Path:
    """The browser, from Debian; root installs it."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise InstallError("the page's tests need Chromium on PATH (Debian: apt-get install chromium)")
    with _one_at_a_time(cache_root() / "chromium"):
        if not Path("/usr/bin/chromium").exists():
            _install_debian_package("chromium", _log_of(cache_root() / "chromium"))
    return Path("/usr/bin/chromium")


def container_runtime(*, needs_names: bool = False) -> None:
    """podman, and what it needs to run `openclaw fleet` cells, from Debian; root installs it. runc, because crun refuses
    machines with both cgroup hierarchies. ``needs_names``: containers on a network find each other by name, too."""
    parts = {"podman": "podman", "runc": "runc", "catatonit": "catatonit", "iptables": "iptables", "conmon": "conmon"}
    missing = [package for program, package in parts.items() if shutil.which(program, path=_SYSTEM_PATH) is None]
    if not Path("/usr/lib/podman/netavark").exists():
        missing.append("netavark")
    if needs_names and not Path("/usr/lib/podman/aardvark-dns").exists():
        missing.append("aardvark-dns")
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise InstallError(f"containers need {', '.join(missing)} (Debian: apt-get install {' '.join(missing)})")
    with _one_at_a_time(cache_root() / "podman"):
        _install_debian_package("podman", _log_of(cache_root() / "podman"), *missing)


def podman_compose() -> Path:
    """podman-compose, in an environment of its own."""
    folder = cache_root() / "podman-compose" / PODMAN_COMPOSE
    program = folder / "bin" / "podman-compose"
    with _one_at_a_time(folder):
        if not program.exists():
            _say(f"podman-compose {PODMAN_COMPOSE}: pip install")
            shutil.rmtree(folder, ignore_errors=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for command in (
                [sys.executable, "-m", "venv", str(folder)],
                [*pip, f"podman-compose=={PODMAN_COMPOSE}"],
            ):
                _checked(command, _log_of(folder), os.environ)
    return program


def debian_with_python() -> Path:
    """A small Debian with Python and its venv module, as a tar archive: a base for images without a registry of such."""
    target = cache_root() / "debian" / f"{DEBIAN}.tar"
    with _one_at_a_time(target):
        if target.exists():
            return target
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise InstallError(
                "an image's base is made by root on Debian; elsewhere name one with OPENCLAW_WATCHDOG_BASE"
            )
        if shutil.which("debootstrap", path=_SYSTEM_PATH) is None:
            _install_debian_package("debootstrap", _log_of(target))
        _say(f"{DEBIAN}: debootstrap")
        part = _fresh_part(target)
        include = "--include=python3,python3-venv,ca-certificates"
        commands = (
            ["debootstrap", "--variant=minbase", include, DEBIAN, str(part / "root")],
            ["tar", "-C", str(part / "root"), "--exclude=./var/cache/apt", "-cf", str(part / "base.tar"), "."],
        )
        for command in commands:
            _checked(command, _log_of(target), os.environ)
        (part / "base.tar").rename(target)
        shutil.rmtree(part)
        return target


def axe_core() -> Path:
    """axe-core's one script, which finds what hinders people with a screen reader or a keyboard."""
    folder = cache_root() / "axe-core" / AXE
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    path = os.environ.get("PATH", os.defpath)
    _ensure_npm_install(f"axe-core {AXE}", folder, script, {"dependencies": {"axe-core": AXE}}, (), path)
    return script


def main(arguments: list[str]) -> int:
    """Fetch everything (or the given versions) now."""
    wanted = [release(version) for version in arguments] or [*RELEASES, V4_2]
    try:
        for each in wanted:
            _say(f"openclaw {each.version}: {installed(each).script.parent}")
        _say(f"ngircd: {ngircd()}")
    except InstallError as problem:
        _say(str(problem))
        return 1
    return 0


# ---------------------------------------------------------------- npm


def _node(major: int) -> Path:
    folder = cache_root() / "node" / str(major)
    program = folder / "node_modules" / "node" / "bin" / "node"
    package: dict[str, object] = {"dependencies": {"node": str(major)}}
    _ensure_npm_install(f"node {major}", folder, program, package, (), os.environ.get("PATH", os.defpath))
    return program


def _ensure_npm_install(
    name: str,
    folder: Path,
    proof: Path,
    package: Mapping[str, object],
    flags: tuple[str, ...],
    path: str,
    *,
    tries: int = RETRIES + 1,
    patience: float = PATIENCE,
) -> None:
    """`proof` is the file that is there when the install is whole."""
    if proof.exists():
        return
    npm = shutil.which("npm", path=path)
    if npm is None:
        raise InstallError("npm is not on PATH: the e2e tests fetch OpenClaw with it (Debian: apt-get install npm)")
    with _one_at_a_time(folder):
        if proof.exists():
            return
        for attempt in _attempts(name, tries):
            part = _fresh_part(folder)
            (part / "package.json").write_text(json.dumps({"private": True, **package}, indent=1))
            command = [npm, "install", "--no-audit", "--no-fund", *flags]
            environment = {**_clean_environment(), "PATH": path}
            log = _log_of(folder)
            _run(name, command, cwd=part, environment=environment, log=log, attempt=attempt, patience=patience)
            if attempt.succeeded and (part / proof.relative_to(folder)).exists():
                part.rename(folder)
                return
    raise InstallError(f"{name} could not be installed by npm, see {_log_of(folder)}")


def _clean_environment() -> dict[str, str]:
    """Without the settings a surrounding npm or OpenClaw left there; those of the network stay."""
    foreign = ("OPENCLAW_", "CLAWDBOT_", "npm_lifecycle", "npm_package", "INIT_CWD")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def path_with(node: Path) -> str:
    """A PATH on which this Node.js is the first."""
    return f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


# ---------------------------------------------------------------- Debian


_PATIENT = ("-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300")


def _install_debian_package(name: str, log: Path, *others: str) -> None:
    _say(f"{name}: apt-get install")
    # policy-rc.d and the like are not ours to set: the package may start a server on 6667, the tests use their own ports.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _one_at_a_time(cache_root() / "apt"):  # two test processes may want two packages
        for command in (
            ["apt-get", *_PATIENT, "update", "-qq"],
            ["apt-get", *_PATIENT, "install", "-y", "-qq", name, *others],
        ):
            _checked(command, log, environment)


def _unpack_debian_package(target: Path, name: str) -> None:
    _say(f"{name}: apt-get download")
    part = _fresh_part(target)
    _checked(["apt-get", *_PATIENT, "download", name], _log_of(target), os.environ, cwd=part)
    for archive in part.glob(f"{name}_*.deb"):
        _checked(["dpkg-deb", "-x", str(archive), str(part)], _log_of(target), os.environ)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _checked(command: list[str], log: Path, environment: Mapping[str, str], cwd: Path | None = None) -> None:
    with log.open("ab") as out:
        try:
            code = subprocess.run(command, env=environment, cwd=cwd, stdout=out, stderr=out, timeout=600).returncode
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise InstallError(f"{' '.join(command)}: {problem}; install it by hand") from None
    if code:
        raise InstallError(f"{' '.join(command)} failed with {code}, see {log}; install it by hand")


# ---------------------------------------------------------------- common to all


@dataclass
class _Attempt:
    number: int
    succeeded: bool = False


def _attempts(name: str, tries: int = RETRIES + 1) -> Iterator[_Attempt]:
    for number in range(1, tries + 1):
        if number > 1:
            _say(f"{name}: trying again ({number} of {tries})")
        yield _Attempt(number)


def _run(
    name: str,
    command: list[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    attempt: _Attempt,
    patience: float = PATIENCE,
) -> None:
    """Run to the end, with a line to stderr now and then; `attempt` learns whether it went well."""
    began = monotonic()
    _say(f"{name}: installing, log in {log}")
    with log.open("ab" if attempt.number > 1 else "wb") as out:
        child = subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            while monotonic() - began < patience:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = child.wait(15)
                    attempt.succeeded = code == 0
                    took = f"{monotonic() - began:.0f} s"
                    _say(f"{name}: installed in {took}" if code == 0 else f"{name}: failed with {code} after {took}")
                    return
                _say(f"{name}: {monotonic() - began:.0f} s")
            _say(f"{name}: given up after {patience:g} s")
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


@contextlib.contextmanager
def _one_at_a_time(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(target.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{target.name}: somebody else installs it, waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fresh_part(target: Path) -> Path:
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _log_of(target: Path) -> Path:
    return target.with_name(target.name + ".install.log")


def _say(line: str) -> None:
    print(f"[e2e install] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
