#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Captures replies of a real redis-server, byte for byte, into the files beside this script.

Starts a private server on a Unix socket in a temporary folder and ends it again. The replies are
as the server sends them; what differs from run to run (ids, addresses, times) is in them too, so
a new capture changes the files but not what the tests expect of them: the number of values.
"""
import os
import shutil
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

DATA = [
    "SET string value",
    "RPUSH list a b c",
    "SADD set x y z",
    "HSET hash field1 value1 field2 value2",
    "ZADD zset 1.5 one 2 two inf last",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "XADD stream 1-1 field value",
]
ERRORS = ["NOSUCH", "GET", "LPUSH string x", "EVALSHA " + "0" * 40 + " 0", "SELECT 9999", "HELLO 9",
          "AUTH default wrong password", "SET k v PX 0"]
READS = [
    "PING", "GET string", "GET absent", "MGET string absent string", "LRANGE list 0 -1",
    "LRANGE absent 0 -1", "BLPOP absent 0.01", "SMEMBERS set", "HGETALL hash", "ZSCORE zset one",
    "ZSCORE zset last", "ZRANGE zset 0 -1 WITHSCORES", "GEOPOS geo Palermo absent", "XRANGE stream - +",
    "XINFO STREAM stream FULL", "CONFIG GET maxmem*", "COMMAND INFO get set", "INFO replication",
    "CLIENT ID", "PTTL string", "INCRBYFLOAT float 1.25", "TIME", "SET lock token NX PX 30000",
    "SET lock other NX PX 30000",
    ["EVAL", "return {1, 'two', {3, {4}}, false, redis.status_reply('FINE')}", "0"],
    ["EVAL", "return redis.error_reply('MY own words')", "0"],
    ["EVAL", "redis.setresp(3); return redis.call('HGETALL', 'hash')", "0"],
    ["EVAL", "return {double=3.5}", "0"], ["EVAL", "return {map={a=1,b=2}}", "0"],
]
PROTOCOL = ["DEBUG PROTOCOL " + kind for kind in
            ("string", "integer", "double", "null", "array", "set", "map", "attrib", "push",
             "verbatim", "true", "false", "bignum")]
BINARY = [["SET", b"\x00\r\n$5\r\n", b"\r\n\x00\xff"], ["GET", b"\x00\r\n$5\r\n"],
          ["SET", "large", "0123456789abcdef" * 64], ["GET", "large"]]


def command(words):
    if isinstance(words, str):
        words = words.split()
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.bytes = b""

    def ask(self, words, wait=0.05):
        """Sends a command and keeps all that comes until nothing more does."""
        self.socket.sendall(command(words))
        self.read(wait)

    def read(self, wait=0.05):
        self.socket.settimeout(5)
        while True:
            try:
                part = self.socket.recv(65536)
            except socket.timeout:
                return
            if not part:
                return
            self.bytes += part
            self.socket.settimeout(wait)


def save(name, client):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(client.bytes)


def capture(path):
    setup = Client(path)
    for words in DATA:
        setup.ask(words)
    for version in (2, 3):
        for name, commands in (("hello", []), ("errors", ERRORS), ("reads", READS),
                               ("protocol", PROTOCOL), ("binary", BINARY)):
            setup.ask("DEL lock float")
            client = Client(path)
            client.ask("HELLO %d" % version)
            if name != "hello":
                client.bytes = b""
            for words in commands:
                client.ask(words)
            save("%s%d.resp" % (name, version), client)

    client = Client(path)  # pushes between replies
    client.ask("HELLO 3")
    client.ask("CLIENT TRACKING ON NOLOOP")
    client.ask("GET string")
    setup.ask("SET string other")
    client.ask("PING")
    client.ask("MGET string list2 string")
    setup.ask("SET string value")
    client.ask("SUBSCRIBE channel")
    setup.ask("PUBLISH channel message")
    setup.ask("FLUSHALL")
    client.ask("PING")
    save("pushes3.resp", client)


def main():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "socket")
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder,
         "--enable-debug-command", "yes"], stdout=subprocess.DEVNULL, cwd=folder)
    try:
        for _ in range(500):
            if os.path.exists(path):
                break
            time.sleep(0.01)
        capture(path)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
