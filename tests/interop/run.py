# SPDX-License-Identifier: MIT
"""resplock beside other libraries of the same convention, on the same keys and real servers.

    run.py LOCKER                  LOCKER: the program of locker.c; NODE_PATH has the npm packages

Each library runs as a process of its own (locker.c, locker.js, locker.py), which takes an order a
line. The servers are private, on Unix sockets in a temporary folder, and end with this program.
Prints a line for each test, and at the end "N passed, N failed".
"""
import ctypes
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KEY = "mutex:interop"  # redis-semaphore's prefix; the others take any name
TTL_MS = 10000
ANSWER_S = 120
COUNTS = 40  # increments by each process

# name: the words that start it, whether it works on one server, and on several
LIBRARIES = {
    "redis-py": (["/usr/bin/python3", str(HERE / "locker.py")], True, False),
    "redlock": (["node", str(HERE / "locker.js"), "redlock"], True, True),
    "redlock5": (["node", str(HERE / "locker.js"), "redlock5"], True, True),
    "Mutex": (["node", str(HERE / "locker.js"), "mutex"], True, False),
    "RedlockMutex": (["node", str(HERE / "locker.js"), "redlock-mutex"], False, True),
}


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A redis-server of our own, and questions to it by a hand-written RESP client."""

    def __init__(self, folder):
        self.path = f"{folder}/redis.sock"
        os.mkdir(folder)
        program = os.environ.get("RESPLOCK_TEST_SERVER") or "redis-server"
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "700", "--dir",
             folder, "--save", "", "--logfile", f"{folder}/redis.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        end = time.monotonic() + 20
        while True:
            try:
                if self.ask("PING") == "PONG":
                    break
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def ask(self, *words):
        """A simple or bulk reply as text, None for nil."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.path)
            command = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
            stream.sendall(command.encode())
            with stream.makefile("rb") as reply:
                head = reply.readline().decode().rstrip("\r\n")
                if head[:1] == "$":
                    return None if head == "$-1" else reply.read(int(head[1:])).decode()
                return head[1:]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.kill()
        self.process.wait()


class Locker:
    """One process with one lock."""

    def __init__(self, words, servers, ttl_ms=TTL_MS, key=KEY):
        self.process = subprocess.Popen(
            [*words, str(ttl_ms), key, *(server.path for server in servers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            preexec_fn=die_with_parent)

    def order(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            raise RuntimeError("no answer in time")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process has ended")
        return line.strip()

    def has_answer(self, seconds):
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def ask(self, *words):
        self.order(*words)
        return self.answer()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class World:
    """Servers that are empty, and processes of two kinds that want the same key."""

    def __init__(self, servers, locker, name):
        self.servers = servers
        self.words = {"resplock": [locker], name: LIBRARIES[name][0]}
        self.name = name
        self.lockers = []
        for server in servers:
            server.ask("FLUSHALL")

    def start(self, name, **options):
        made = Locker(self.words[name], self.servers, **options)
        self.lockers.append(made)
        return made

    def pairs(self):
        """(first, second) of either order."""
        return (("resplock", self.name), (self.name, "resplock"))

    def values(self):
        return [server.ask("GET", KEY) for server in self.servers]

    def expect_token(self, token, text):
        """A quorum of nodes has it in the key, and the others, which may come later, nothing."""
        values = self.values()
        must(values.count(token) > len(values) / 2 and set(values) <= {token, None},
             f"{text}: {values}, not {token!r}")

    def expect_nothing(self, text):
        end = time.monotonic() + TTL_MS / 2000
        while any(self.values()):
            must(time.monotonic() < end, f"{text}: {self.values()}")
            time.sleep(0.01)

    def end(self):
        for locker in self.lockers:
            locker.end()


def must(good, text):
    if not good:
        raise AssertionError(text)


def expect(actual, wanted, text):
    must(actual == wanted, f"{text}: {actual!r}, not {wanted!r}")


# ---- Tests: each for one library, on one server or several ----


def test_each_excludes_the_other(world):
    """What one holds is refused to the other; a release lets it in."""
    for first, second in world.pairs():
        holder, other = world.start(first), world.start(second)
        expect(holder.ask("acquire", 0), "yes", f"{first} acquires")
        world.expect_token(holder.ask("token"), "the plain token")
        expect(other.ask("acquire", 0), "no", f"one attempt of {second}")
        expect(other.ask("acquire", 300), "no", f"{second} waits")
        world.expect_token(holder.ask("token"), "still the holder's")
        expect(holder.ask("release"), "ok", f"{first} releases")
        expect(other.ask("acquire", 0), "yes", f"{second} acquires then")
        expect(holder.ask("acquire", 0), "no", f"{first} is refused then")
        expect(other.ask("release"), "ok", f"{second} releases")
        world.expect_nothing("nothing is left")


def test_each_waits_for_the_other(world):
    """A waiter gets the lock when the other releases it, and not before."""
    for first, second in world.pairs():
        holder, waiter = world.start(first), world.start(second)
        expect(holder.ask("acquire", 0), "yes", f"{first} acquires")
        waiter.order("acquire", 60000)
        must(not waiter.has_answer(0.5), f"{second} has it while {first} holds it")
        expect(holder.ask("release"), "ok", f"{first} releases")
        expect(waiter.answer(), "yes", f"{second} has waited")
        expect(waiter.ask("release"), "ok", f"{second} releases")


def test_each_extends_against_the_other(world):
    """Beyond the first TTL the holder still excludes the other."""
    for first, second in world.pairs():
        holder, other = world.start(first, ttl_ms=3000), world.start(second)
        expect(holder.ask("acquire", 0), "yes", f"{first} acquires")
        expect(holder.ask("extend", 20000), "ok", f"{first} extends")
        expect(other.ask("acquire", 3500), "no", f"{second} waits")
        expect(holder.ask("release"), "ok", f"{first} releases")
        expect(other.ask("acquire", 0), "yes", f"{second} acquires then")
        expect(other.ask("release"), "ok", f"{second} releases")


def test_each_leaves_what_is_the_others(world):
    """A lock that ran out is another's: a late release and extend do not touch it."""
    for first, second in world.pairs():
        late, holder = world.start(first, ttl_ms=1000), world.start(second)
        expect(late.ask("acquire", 0), "yes", f"{first} acquires")
        expect(holder.ask("acquire", 60000), "yes", f"{second} has it when the TTL is over")
        token = holder.ask("token")
        expect(late.ask("extend", 20000), "no", f"{first} extends too late")
        late.ask("release")  # what it answers differs: redis-semaphore does not say
        world.expect_token(token, "the holder's token")
        expect(holder.ask("release"), "ok", f"{second} releases")


def test_each_excludes_with_a_node_away(world):
    """Two nodes of three are a quorum for both."""
    if len(world.servers) == 1:
        return
    for away in world.servers:
        for first, second in world.pairs():
            holder, other = world.start(first), world.start(second)
            # connected, so that the clients of Node.js do not wait for the node that stops
            expect(holder.ask("acquire", 0), "yes", f"{first} acquires")
            expect(holder.ask("release"), "ok", f"{first} releases")
            expect(other.ask("acquire", 0), "yes", f"{second} acquires")
            expect(other.ask("release"), "ok", f"{second} releases")
            away.ask("REPLICAOF", "127.0.0.1", "1")  # a replica refuses all that writes
            expect(holder.ask("acquire", 5000), "yes", f"{first} acquires on two nodes")
            expect(other.ask("acquire", 300), "no", f"{second} waits")
            expect(holder.ask("release"), "ok", f"{first} releases on two nodes")
            expect(other.ask("acquire", 5000), "yes", f"{second} acquires then")
            expect(other.ask("release"), "ok", f"{second} releases on two nodes")
            away.ask("REPLICAOF", "NO", "ONE")


def contend(servers, kinds, guard):
    """Processes of these kinds count in one file: what they say they did, and what is there."""
    lockers = [Locker(words, servers) for words in kinds]
    with tempfile.TemporaryDirectory(prefix="resplock-interop.") as folder:
        file = f"{folder}/counter"
        pathlib.Path(file).write_text("000000000\n")
        try:
            for locker in lockers:
                expect(locker.ask("ready?"), "what?", "a process that is up")
            for server in servers:
                server.ask("FLUSHALL")
            for locker in lockers:
                locker.order("count", file, COUNTS, guard)
            done = [locker.answer() for locker in lockers]
            counted = int(pathlib.Path(file).read_text())
        finally:
            for locker in lockers:
                locker.end()
    expect(done, [f"done {COUNTS}"] * len(kinds), "increments made")
    return counted


def test_contention_counts_exactly(world):
    """Two processes of each: no increment is lost."""
    kinds = list(world.words.values()) * 2
    expect(contend(world.servers, kinds, "lock"), COUNTS * len(kinds), "the counter")


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]


# ---- All libraries together ----


def all_count_exactly(servers, kinds):
    expect(contend(servers, kinds, "lock"), COUNTS * len(kinds), "the counter")


def nobody_counts_exactly(servers, kinds):
    """What the tests above would see if the lock did not exclude."""
    for _ in range(5):
        if contend(servers, kinds, "free") < COUNTS * len(kinds):
            return
    raise AssertionError("without the lock nothing is lost: the counter shows nothing")


class Report:
    passed = 0
    failed = 0

    def run(self, title, test, *arguments):
        began = time.monotonic()
        try:
            test(*arguments)
        except (AssertionError, RuntimeError, OSError) as error:
            self.failed += 1
            print(f"  FAILED  {title}: {error}", flush=True)
        else:
            self.passed += 1
            print(f"  ok      {title} ({time.monotonic() - began:.1f} s)", flush=True)


def run_tests(report, servers, locker, name):
    for test in TESTS:
        if len(servers) == 1 and test is test_each_excludes_with_a_node_away:
            continue
        world = World(servers, locker, name)
        try:
            report.run(f"{name}, {len(servers)} node{'s' * (len(servers) > 1)}: "
                       f"{test.__name__[5:].replace('_', ' ')}", test, world)
        finally:
            world.end()


def run(locker):
    report = Report()
    folder = tempfile.mkdtemp(prefix="resplock-interop.")
    servers = []
    try:
        for i in range(3):
            servers.append(Server(f"{folder}/{i}"))
        for count, column in ((1, 1), (3, 2)):
            names = [name for name, row in LIBRARIES.items() if row[column]]
            for name in names:
                run_tests(report, servers[:count], locker, name)
            kinds = [[locker], [locker]] + [LIBRARIES[name][0] for name in names]
            title = f"resplock twice and {', '.join(names)}, {count} node{'s' * (count > 1)}"
            report.run(f"{title}: the counter is exact", all_count_exactly, servers[:count], kinds)
            report.run(f"{title}: without the lock it is not", nobody_counts_exactly,
                       servers[:count], kinds)
    finally:
        for server in servers:
            server.end()
        shutil.rmtree(folder)
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed == 0


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(0 if run(sys.argv[1]) else 1)


main()
