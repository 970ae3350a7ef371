"""What the workers of these tests are given to do: by name, since they are processes of their own."""

import ctypes
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from unweave import _errors
from unweave.execute import task


class PluginError(_errors.UserError):
    """A subclass that only the plugin knows."""


class UnspeakableError(_errors.UserError):
    """There is no memory left to say what it is."""

    def __str__(self):
        raise MemoryError


@task
def echo(value, after=0.0):
    time.sleep(after)
    return value


@task
def leave(code):
    sys.exit(code)


@task
def environment(names):
    return [os.environ.get(name) for name in names]


@task
def whoami(after):
    time.sleep(after)
    return os.getpid()


@task
def noisy(value):
    print('{"value": "forged"}')
    sys.stdout.flush()
    os.write(1, b'{"value": "forged"}\n')
    subprocess.run([sys.executable, "-c", "print('{}')"], check=True)
    return value


@task
def greedy(value):
    eaten = sys.stdin.read()
    return [value, eaten, subprocess.run(["cat"], capture_output=True, text=True).stdout]


@task
def refuse(kind, text):
    raise {"plugin": PluginError, "unspeakable": UnspeakableError, **vars(_errors)}[kind](text)


@task
def misname():
    raise _errors.UnknownNameError("method", "scrap", ["scrub", "delete"])


@task
def buggy(divisor):
    return 1 / divisor


@task
def interrupt():
    raise KeyboardInterrupt


@task
def unspeakable():
    return {1, 2}


def tried(folder):
    """How often the task of this folder was begun before."""
    tries = len(list(Path(folder).glob("try-*")))
    (Path(folder) / f"try-{tries}").write_text(str(os.getpid()))
    return tries


@task
def die(folder, times, how):
    """Dies while it was begun fewer than `times` times; then says which try this is."""
    tries = tried(folder)
    if tries < times:
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), getattr(signal, how))
    return tries


@task
def die_at_a_random_time(folder, seconds):
    """Is killed at some time while it works, the first time; what it makes is there at once or not at all."""
    first = tried(folder) == 0
    if first:
        threading.Timer(random.uniform(0, seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()
    while first:
        make(folder, "value" * 1000)
    return make(folder, "value" * 1000)


@task
def die_before_the_answer(folder, text):
    first = tried(folder) == 0
    make(folder, text)
    if first:
        os.kill(os.getpid(), signal.SIGSEGV)
    return text


def make(folder, text):
    half = Path(folder) / f"half-{os.getpid()}"
    half.write_text(text)
    half.replace(Path(folder) / "made")
    return text


@task
def die_with_a_child(folder):
    """Dies, the first time, while a process that it has forked holds all its pipes."""
    first = tried(folder) == 0
    if first and os.fork() == 0:
        signal.alarm(45)
        signal.pause()
    if first:
        os._exit(7)
    return "told"


@task
def linger(folder, how="sleep"):
    """Work of a minute, of which the folder has the process."""
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (Path(folder) / str(os.getpid())).touch()
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if how != "compute":
            time.sleep(1)


@task
def hang(folder, how, times):
    tries = tried(folder)
    if tries < times:
        if how == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif how == "keeps the lock of Python":
            ctypes.PyDLL(None).sleep(120)
        else:
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
    return tries


@task
def toil(seconds, how):
    """Computes for that long: in Python, or in one C function that releases Python's lock."""
    begin = time.process_time()
    if how == "C":
        rounds = 100_000
        hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)
        per_round = (time.process_time() - begin) / rounds
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(seconds / per_round))
    while time.process_time() - begin < seconds:
        pass
    return how


@task
def long_answer(folder):
    """After a second ten megabytes, which no pipe takes at once."""
    tried(folder)
    time.sleep(1)
    return "x" * 10_000_000


@task
def exhaust(folder, how, times):
    """Runs out of memory while it was begun fewer than `times` times."""
    tries = tried(folder)
    if tries < times:
        if how == "torch":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (100 << 20), resource.RLIM_INFINITY))
        bytearray(1 << 30)
    return tries


@task
def share(folder, name, seconds, need=1, most=1):
    """Holds `need` of a memory that has room for `most` while it works, and notes how many are at work."""
    tried(Path(folder) / name)
    held = Path(folder) / f"held-{os.getpid()}-{need}"
    held.touch()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            all_held = [one.name for one in Path(folder).glob("held-*")]
            with (Path(folder) / f"seen-{name}").open("a") as seen:
                print(len(all_held), file=seen)
            if sum(int(name.rpartition("-")[2]) for name in all_held) > most:
                raise MemoryError
            time.sleep(0.02)
    finally:
        held.unlink()
    return name


def unregistered():
    return 1
