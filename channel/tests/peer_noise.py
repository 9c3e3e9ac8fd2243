#!/usr/bin/env python3
"""Reads channel/vectors with implementations that share no code with this project.

Noise comes from the package `noiseprotocol`, HPKE with X-Wing from `cryptography` (OpenSSL), CBOR
from `cbor2`; everything else is written here from PROTOCOL.md. Both ends of each handshake are
played, every frame is compared, and what must be refused is tried.

Run it from anywhere:

    python3 -m venv /tmp/narthex-peer
    /tmp/narthex-peer/bin/pip install -r channel/tests/peer_noise.txt
    /tmp/narthex-peer/bin/python channel/tests/peer_noise.py

It prints one line for each check and ends with "N passed, 0 failed"; the exit code is 0 only then.
"""

import hashlib
import struct
import sys
from pathlib import Path

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from noise.connection import Keypair, NoiseConnection

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
MAX_CHUNK = 65535 - 16
outcomes = {"passed": 0, "failed": 0}


def check(name, holds):
    print(("ok      " if holds else "FAILED  ") + name)
    outcomes["passed" if holds else "failed"] += 1


def read(name):
    values = {}
    for line in (VECTORS / name).read_text().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition(" = ")
            values[key] = bytes.fromhex(value)
    return values


def frame(message):
    return struct.pack(">H", len(message)) + message


def unframe(stream):
    frames = []
    while stream:
        (length,) = struct.unpack(">H", stream[:2])
        frames.append(stream[2 : 2 + length])
        assert len(frames[-1]) == length > 0
        stream = stream[2 + length :]
    return frames


def preamble(use):
    return b"narthex\0" + struct.pack(">HHBBxx", 1, 1, use, 1)


def chunks(content):
    """The total in the first chunk, and all chunks but the last one full."""
    data = struct.pack(">I", len(content)) + content
    return [data[i : i + MAX_CHUNK] for i in range(0, len(data), MAX_CHUNK)]


def composition(label, context, body):
    parts = [
        struct.pack(">H", len(label)), label.encode(),
        struct.pack(">H", len(context)), context,
        struct.pack(">I", len(body)), body,
    ]  # fmt: skip
    return b"".join(parts)


def noise_end(pattern, initiator, vector, use):
    end = NoiseConnection.from_name(f"Noise_{pattern}_25519_ChaChaPoly_SHA256".encode())
    end.set_prologue(preamble(use))
    if initiator:
        end.set_as_initiator()
        ephemeral = vector["initiator_ephemeral_secret"]
        if pattern == "NK":
            public = vector["responder_static_public"]
            end.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
    else:
        end.set_as_responder()
        ephemeral = vector["responder_ephemeral_secret"]
        if pattern == "NK":
            secret = vector["responder_static_secret"]
            end.set_keypair_from_private_bytes(Keypair.STATIC, secret)
    end.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    end.start_handshake()
    return end


def noise(name, pattern, use):
    vector = read(name)
    first_preamble, first = unframe(vector["initiator_first"])
    (second,) = unframe(vector["responder_first"])
    check(f"{name}: preamble", first_preamble == preamble(use))

    here = noise_end(pattern, True, vector, use)
    there = noise_end(pattern, False, vector, use)
    check(f"{name}: initiator's message", bytes(here.write_message()) == first)
    check(f"{name}: no payload in it", bytes(there.read_message(first)) == b"")
    check(f"{name}: responder's message", bytes(there.write_message()) == second)
    check(f"{name}: no payload in it", bytes(here.read_message(second)) == b"")
    check(f"{name}: initiator's hash", here.get_handshake_hash() == vector["handshake_hash"])
    check(f"{name}: responder's hash", there.get_handshake_hash() == vector["handshake_hash"])

    def carry(sender, receiver, content):
        stream = b"".join(frame(bytes(sender.encrypt(chunk))) for chunk in chunks(content))
        opened = b"".join(bytes(receiver.decrypt(message)) for message in unframe(stream))
        assert opened == struct.pack(">I", len(content)) + content
        return stream

    stream = carry(here, there, vector["content"])
    check(f"{name}: content", stream == vector["content_stream"])
    stream = carry(there, here, vector["answer"])
    check(f"{name}: answer", stream == vector["answer_stream"])
    if "large_stream_sha384" in vector:  # Answers of use 5 are shorter than that.
        stream = carry(there, here, bytes(i % 256 for i in range(70000)))
        digest = hashlib.sha384(stream).digest()
        check(f"{name}: content of two frames", digest == vector["large_stream_sha384"])
    check(f"{name}: close", frame(bytes(here.encrypt(b""))) == vector["initiator_close"])
    check(f"{name}: close back", frame(bytes(there.encrypt(b""))) == vector["responder_close"])


def other_use(name, pattern, use):
    """Somebody in between changes the use: the ends disagree about the prologue."""
    vector = read(name)
    _, first = unframe(vector["initiator_first"])
    here = noise_end(pattern, True, vector, use)
    here.write_message()
    there = noise_end(pattern, False, vector, use + 2)
    try:
        there.read_message(first)
        here.read_message(bytes(there.write_message()))
        refused = False
    except InvalidTag:
        refused = True
    check(f"{name}: another use is refused", refused)


def preambles():
    vector = read("preamble.txt")
    uses = {"diagnostics": 1, "keys": 2, "administration": 3, "policy": 4, "submissions": 5}
    for use, code in uses.items():
        check(f"preamble.txt: {use}", vector[f"preamble.{use}"] == preamble(code))
    codes = {"version": 1, "use": 2, "suite": 3, "downgrade": 4}
    for name, code in codes.items():
        refusal = b"narthex!" + struct.pack(">BxHH", code, 1, 1)
        check(f"preamble.txt: refusal {name}", vector[f"refusal.{name}"] == refusal)


def messages():
    vector = read("messages.txt")
    items = {
        "session-statement": 11, "welcome": 3, "call-request": 7, "call-answer.done": 3,
        "call-answer.refused": 3, "key-request": 5, "key-request-envelope": 3,
        "key-answer.released": 5, "key-answer.refused": 5, "administration-request": 5,
        "administration-answer.done": 4, "administration-answer.refused": 4,
        "policy-request": 3, "policy-answer": 5, "policy-delivery": 4, "submission.order": 5,
        "submission.statement": 5, "submission-answer.accepted": 3,
        "submission-answer.refused": 3,
    }  # fmt: skip
    for name, count in items.items():
        message = cbor2.loads(vector[name])
        shape = isinstance(message, list) and len(message) == count and message[0] == 1
        check(f"messages.txt: {name}", shape and cbor2.dumps(message) == vector[name])

    # What stands where in the messages about the log, written here from the protocol alone.
    proof, h = b"stands for a proof", vector["handshake_hash"]
    order, sealed = cbor2.loads(vector["call-request"]), cbor2.loads(vector["key-answer.released"])
    text = order[2]
    file = lambda content: [content, [text]]  # noqa: E731
    written = {
        "key-answer.released": [1, 0, proof, 0, sealed[4]],
        "key-answer.refused": [1, 1, None, 1, "release.revoked"],
        "administration-answer.done": [1, 0, b"{}", proof],
        "administration-answer.refused": [1, 1, "role.missing", None],
        "policy-answer": [
            1, [file(b"version = 7\n")], [file(b"release = 2\n"), file(b"release = 3\n")], [], proof,
        ],
        "policy-delivery": [1, [file(b"version = 7\n")], [], [file(b"stop = 1\n")]],
        "submission.order": [1, 0, order[1], text, [text]],
        "submission.statement": [
            1, 1, h, b"stands for a document", vector["session-statement"],
        ],
        "submission-answer.accepted": [1, proof, None],
        "submission-answer.refused": [1, None, "order.role"],
    }  # fmt: skip
    for name, message in written.items():
        check(f"messages.txt: {name}, written anew", cbor2.dumps(message) == vector[name])

    bodies = {"diagnostics-session": "session-statement", "key-request": "key-request"}
    for label, body in bodies.items():
        bound = composition(f"narthex/v1/{label}", h, vector[body])
        digest = hashlib.sha384(bound).digest()
        check(f"messages.txt: binding of {body}", digest == vector[f"binding.{label}"])


def seal():
    vector = read("seal.txt")
    # X-Wing: a seed of 32 bytes gives d and z of ML-KEM-768, and the X25519 key.
    expanded = hashlib.shake_256(vector["recipient_seed"]).digest(96)
    kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    check("seal.txt: recipient key", public == vector["recipient_key"])
    check("seal.txt: encapsulated length", len(vector["encapsulated"]) == 1120)

    name, h = vector["name"], vector["handshake_hash"]
    named = struct.pack(">H", len(name)) + name + vector["version"]
    info = composition("narthex/v1/key-release", h, named + vector["shares"])
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    private = hpke.MLKEM768X25519PrivateKey(kem, curve)
    sealed = vector["encapsulated"] + vector["ciphertext"]
    check("seal.txt: opens", suite.decrypt(sealed, private, info) == vector["key"])

    def refused(sealed, info):
        try:
            suite.decrypt(sealed, private, info)
        except InvalidTag:
            return True
        return False

    elsewhere = composition("narthex/v1/key-release", bytes(32), named + vector["shares"])
    check("seal.txt: not for another session", refused(sealed, elsewhere))
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    check("seal.txt: not when changed", refused(changed, info))

    committed = composition("narthex/v1/key-commitment", b"", named + vector["key"])
    digest = hashlib.sha384(committed).digest()
    check("seal.txt: commitment", digest == vector["commitment"])


def main():
    preambles()
    noise("noise-nn.txt", "NN", 1)
    other_use("noise-nn.txt", "NN", 1)
    noise("noise-nk.txt", "NK", 2)
    other_use("noise-nk.txt", "NK", 2)
    noise("noise-submissions.txt", "NK", 5)
    other_use("noise-submissions.txt", "NK", 5)
    messages()
    seal()
    print(f"{outcomes['passed']} passed, {outcomes['failed']} failed")
    return 0 if outcomes["failed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
