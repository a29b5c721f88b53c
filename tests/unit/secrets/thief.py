"""Another account of this machine: plants files, listens on a port like a gateway, and keeps every word it is sent.

Run by itself with nothing but the standard library: once it is that account, it may read nothing of ours, not even Python's
own files. Its orders are JSON in ``argv``: ``uid`` (whom to become), ``port`` (0: any), ``heard`` (the file for what it is sent), ``plant`` (path -> text; ``{pid}``, ``{start}``, ``{port}`` are
filled in) and ``links`` (path -> target). It prints its port when all is in place.
"""

import base64
import encodings.idna  # noqa: F401 - loaded while it may be
import hashlib
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path

CHALLENGE = b'{"type":"event","event":"connect.challenge","payload":{"nonce":"n","ts":1795163416709}}'


def start_ticks() -> str:
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


def first_frame(stream: socket.SocketIO) -> bytes:
    """The text of the first frame, unmasked; a secret is in it or nowhere."""
    head = stream.read(2) or b"\0\0"
    length = head[1] & 127
    if length == 126:
        length = struct.unpack(">H", stream.read(2) or b"\0\0")[0]
    mask = stream.read(4) or b"\0" * 4
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(stream.read(length) or b""))


def answer(connection: socket.socket, heard: Path) -> None:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        if not more:
            return
        request += more
    with heard.open("ab") as file:
        file.write(request)
    (key,) = (line.split()[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    connection.sendall(upgrade + proof + b"\r\n\r\n" + bytes([0x81, len(CHALLENGE)]) + CHALLENGE)
    with connection, heard.open("ab") as file:
        file.write(first_frame(connection.makefile("rb", buffering=0)))


def main() -> None:
    orders = json.loads(sys.argv[1])
    os.setgroups([])
    os.setgid(orders["uid"])
    os.setuid(orders["uid"])
    listener = socket.create_server(("127.0.0.1", orders["port"]))
    port = listener.getsockname()[1]
    facts = {"{pid}": str(os.getpid()), "{start}": start_ticks(), "{port}": str(port)}
    for name, text in orders["plant"].items():
        for word, fact in facts.items():
            text = text.replace(word, fact)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    for name, target in orders["links"].items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).symlink_to(target)
    print(port, flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, Path(orders["heard"])), daemon=True).start()


if __name__ == "__main__":
    main()
