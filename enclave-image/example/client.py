#!/usr/bin/env python3
"""Asks the example's notary, from the parent instance or from wherever its port leads.

    client.py ADDRESS identity NONCE   prints an attestation document that binds the nonce (64 hex digits) and the public key
    client.py ADDRESS sign DIGEST      prints the Ed25519 signature over "narthex/example/notary/v1", a zero byte and the
                                       digest (96 hex digits)

ADDRESS is vsock:CID:PORT, hybrid:PATH:PORT (a virtual machine's socket) or unix:PATH. The answer goes to standard output
as it is. This checks nothing: give the document to `narthex verify`, which says what it is worth, and then believe its key.
"""

import socket
import sys


def connect(address: str) -> socket.socket:
    kind, _, rest = address.partition(":")
    if kind == "vsock":
        cid, _, port = rest.partition(":")
        stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        stream.settimeout(20)
        stream.connect((int(cid), int(port)))
        return stream
    if kind not in ("unix", "hybrid"):
        raise ValueError(f"no address: {address}")
    path, _, port = rest.rpartition(":") if kind == "hybrid" else (rest, "", "")
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(20)
    stream.connect(path)
    if kind == "hybrid":
        stream.sendall(f"CONNECT {port}\n".encode())
        line = b""
        while not line.endswith(b"\n") and len(line) < 64:
            line += exactly(stream, 1)
        if not line.startswith(b"OK "):
            raise OSError("nobody listens there")
    return stream


def exactly(stream: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        more = stream.recv(length - len(content))
        if not more:
            raise OSError("the connection ended early")
        content += more
    return content


def main() -> int:
    requests = {"identity": (1, 32), "sign": (2, 48)}
    if len(sys.argv) != 4 or sys.argv[2] not in requests:
        print(__doc__, file=sys.stderr)
        return 2
    first, length = requests[sys.argv[2]]
    try:
        body = bytes.fromhex(sys.argv[3])
        if len(body) != length:
            raise ValueError(f"{sys.argv[2]} takes {length} bytes, as {2 * length} hexadecimal digits")
    except ValueError as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 2
    try:
        with connect(sys.argv[1]) as stream:
            stream.sendall(bytes([first]) + body)
            answer = exactly(stream, int.from_bytes(exactly(stream, 2), "big"))
    except ValueError as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"client.py: {sys.argv[1]}: {error}", file=sys.stderr)
        return 3
    if not answer:
        print("client.py: the notary could not do it now: no key, or too many documents this minute", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
