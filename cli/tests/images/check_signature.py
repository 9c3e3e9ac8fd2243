"""Checks the signature of an enclave image without any code of Narthex: the file's sections with
struct, CBOR by hand, the signature with OpenSSL. Prints PCR8.

    python3 check_signature.py IMAGE FOLDER        FOLDER: where intermediate files go
"""

import hashlib
import pathlib
import struct
import subprocess
import sys


def sections(file):
    count = struct.unpack(">H", file[0x1A:0x1C])[0]
    offsets = struct.unpack(">32Q", file[0x1C:0x11C])[:count]
    for offset in offsets:
        kind, _, size = struct.unpack(">HHQ", file[offset : offset + 12])
        yield kind, file[offset + 12 : offset + 12 + size]


def cbor(data, at=0):
    """One item of the kinds that occur here: value, place behind it."""
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low >= 24:
        size = 1 << (low - 24)
        low = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return low, at
    if major == 1:
        return -1 - low, at
    if major in (2, 3):
        value = data[at : at + low]
        return (value if major == 2 else value.decode()), at + low
    if major in (4, 5):
        items = []
        for _ in range(low * (major - 3)):
            item, at = cbor(data, at)
            items.append(item)
        return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
    raise ValueError(f"major type {major}")


def head(major, size):
    if size < 24:
        return bytes([major << 5 | size])
    if size < 256:
        return bytes([major << 5 | 24, size])
    return bytes([major << 5 | 25]) + size.to_bytes(2, "big")


def sig_structure(protected, payload):
    context = b"Signature1"
    return (
        head(4, 4) + head(3, len(context)) + context + head(2, len(protected)) + protected
        + head(2, 0) + head(2, len(payload)) + payload
    )


def der_integer(bytes_):
    bytes_ = bytes_.lstrip(b"\0") or b"\0"
    if bytes_[0] & 0x80:
        bytes_ = b"\0" + bytes_
    return b"\x02" + bytes([len(bytes_)]) + bytes_


def register(content):
    return hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).digest()


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def main():
    file = pathlib.Path(sys.argv[1]).read_bytes()
    folder = pathlib.Path(sys.argv[2])
    found = list(sections(file))
    measured = b"".join(content for kind, content in found if kind in (1, 2, 3))
    (section,) = [content for kind, content in found if kind == 4]
    records, end = cbor(section)
    assert end == len(section) and len(records) == 1
    pem, cose = bytes(records[0]["signing_certificate"]), bytes(records[0]["signature"])
    (protected, unprotected, payload, signature), end = cbor(cose)
    assert end == len(cose) and unprotected == {} and len(signature) == 96
    assert cbor(protected)[0] == {1: -35}, "ES384"
    signed, _ = cbor(payload)
    assert signed["register_index"] == 0
    assert bytes(signed["register_value"]) == register(measured), "PCR0"

    certificate, key = folder / "found.pem", folder / "found.pub"
    certificate.write_bytes(pem)
    key.write_bytes(openssl("x509", "-in", certificate, "-noout", "-pubkey"))
    body = der_integer(signature[:48]) + der_integer(signature[48:])
    (folder / "found.sig").write_bytes(b"\x30" + bytes([len(body)]) + body)
    (folder / "found.tbs").write_bytes(sig_structure(protected, payload))
    openssl(
        "dgst", "-sha384", "-verify", key, "-signature", folder / "found.sig", folder / "found.tbs"
    )
    der = openssl("x509", "-in", certificate, "-outform", "DER")
    print(register(der).hex())


main()
