"""Conversations with a TLS server that keep to the rules or break one of them, and what must come back.

    conversations.py GROUP HOST PORT NAME LEAF

GROUP is one of tlsfuzzer's script families, written anew for what they ask: conversation, version-negotiation, lengths,
zero-length-data, finished, keyupdate, ccs, record-layer-limits. LEAF is `rsa` or `ecdsa`: the only kind of certificate
that the client says it can verify. Prints one line for each conversation, `ok` or `FAIL` and its name.
"""

import os
import socket
import struct
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import ContentType
from tlslite.errors import TLSError, TLSRemoteAlert
from tlslite.messages import (
    ApplicationData, ChangeCipherSpec, ClientKeyExchange, Finished, KeyUpdate, Message,
)

GROUP, HOST, PORT, NAME, LEAF = sys.argv[1:]
VERSIONS = {"1.2": (3, 3), "1.3": (3, 4)}
ALERTS = {
    10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure", 47: "illegal_parameter",
    50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 86: "inappropriate_fallback", 109: "missing_extension",
    112: "unrecognized_name", 120: "no_application_protocol", 0: "close_notify",
}
CONVERSATIONS = []


def conversation(group, expected):
    """Registers a conversation: it passes when what it returns is one of the expected."""
    expected = expected if isinstance(expected, tuple) else (expected,)

    def register(function):
        name = function.__name__.replace("_", " ")
        CONVERSATIONS.append((group, name, expected, function))
        return function

    return register


def connect():
    sock = socket.create_connection((HOST, int(PORT)), 10)
    sock.settimeout(10)
    return sock


# --- whole handshakes, with a hand in the messages ---


class Client(TLSConnection):
    """Sends a handshake in which `change` replaces messages on their way out."""

    change = staticmethod(lambda message: [message])

    def _sendMsg(self, message, randomizeFirstBlock=True, update_hashes=True):
        for changed in self.change(message):
            for result in super()._sendMsg(changed, randomizeFirstBlock, update_hashes):
                yield result


def shake(version, change=None, cipher=None):
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = VERSIONS[version]
    settings.versions = [VERSIONS[version]]
    settings.cipherNames = [cipher or "aes128gcm"]
    settings.eccCurves, settings.keyShares = ["x25519", "secp256r1"], ["x25519"]
    if LEAF == "rsa":
        settings.keyExchangeNames = ["ecdhe_rsa"]
        settings.ecdsaSigHashes, settings.more_sig_schemes, settings.dsaSigHashes = [], [], []
    else:
        settings.keyExchangeNames = ["ecdhe_ecdsa"]
        settings.rsaSigHashes, settings.rsaSchemes, settings.dsaSigHashes = [], [], []
        settings.more_sig_schemes = []
    client = Client(connect())
    if change:
        client.change = change
    client.handshakeClientCert(settings=settings, serverName=NAME, alpn=[b"http/1.1"])
    return client


def request(client):
    return f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()


def status(client):
    """The status of the answer."""
    head = bytes(client.read(min=12, max=4096))
    return head.split(b" ")[1].decode() if head.startswith(b"HTTP/1.1 ") else repr(head[:20])


def ask(client):
    client.write(request(client))
    return status(client)


def raw(client, message):
    """One message in one record, however long."""
    for _ in client._recordLayer.sendRecord(message):
        pass


def outcome(work):
    """What a conversation came to, in one word."""
    try:
        return work()
    except TLSRemoteAlert as alert:
        return ALERTS.get(alert.description, str(alert.description))
    except ConnectionError:
        # Closed with bytes unread, the alert before it lost.
        return "closed"
    except (TLSError, socket.timeout) as error:
        return f"{type(error).__name__} {error}".strip()


def both(group, expected):
    """The same conversation in both versions."""

    def register(function):
        for version in VERSIONS:
            def one(version=version):
                return function(version)

            one.__name__ = f"{function.__name__}_in_{version}"
            conversation(group, expected)(one)
        return function

    return register


# --- ClientHellos by hand ---


def vector(length, content):
    return struct.pack(">I", len(content))[4 - length:] + content


def sni(name):
    return vector(2, b"\0" + vector(2, name.encode()))


def extensions(versions=(0x0304, 0x0303)):
    schemes = [0x0804, 0x0401, 0x0805, 0x0501] if LEAF == "rsa" else [0x0403, 0x0503]
    found = [
        (0, sni(NAME)),
        (10, vector(2, struct.pack(">2H", 0x001D, 0x0017))),
        (11, vector(1, b"\0")),
        (13, vector(2, b"".join(struct.pack(">H", scheme) for scheme in schemes))),
        (16, vector(2, vector(1, b"http/1.1"))),
        (23, b""),
        (51, vector(2, struct.pack(">H", 0x001D) + vector(2, b"\x09" + bytes(31)))),
    ]
    if versions:
        found.append((43, vector(1, b"".join(struct.pack(">H", version) for version in versions))))
    return found


SUITES = [0x1301, 0xC02F, 0xC02B]


def hello(version=0x0303, session=b"", suites=None, compressions=b"\0", more=None, tail=b"", raw_suites=None, raw_extensions=None):
    suites = raw_suites if raw_suites is not None else b"".join(struct.pack(">H", suite) for suite in suites or SUITES)
    listed = b"".join(struct.pack(">H", kind) + vector(2, body) for kind, body in (extensions() if more is None else more))
    body = struct.pack(">H", version) + os.urandom(32) + vector(1, session) + vector(2, suites) + vector(1, compressions)
    body += vector(2, listed) if raw_extensions is None else raw_extensions
    return body + tail


def message(kind, body, length=None):
    return bytes([kind]) + struct.pack(">I", len(body) if length is None else length)[1:] + body


def record(kind, payload, version=0x0301):
    return bytes([kind]) + struct.pack(">HH", version, len(payload)) + payload


def exchange(sent):
    """Sends bytes and reads the first answer: an alert's name, a ServerHello's version, or that it was closed."""
    sock = connect()
    try:
        sock.sendall(sent)
        data = b""
        while True:
            try:
                part = sock.recv(16384)
            except socket.timeout:
                return "silent"
            except ConnectionError:
                part = b""
            data += part
            if len(data) >= 5 and len(data) >= 5 + struct.unpack(">H", data[3:5])[0]:
                break
            if not part:
                return "closed" if not data else "truncated"
    finally:
        sock.close()
    if data[0] == 21:
        return ALERTS.get(data[6], str(data[6]))
    if data[0] != 22 or data[5] != 2:
        return f"record {data[0]}"
    body = data[9:]
    random, at = body[2:34], 35 + body[34]
    at += 3
    version = struct.unpack(">H", body[:2])[0]
    end = at + 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 2
    while at < end:
        kind, length = struct.unpack(">2H", body[at:at + 4])
        if kind == 43:
            version = struct.unpack(">H", body[at + 4:at + 6])[0]
        at += 4 + length
    if random[:4] == b"\xcf\x21\xad\x74":
        return "retry"
    return {0x0304: "1.3", 0x0303: "1.2"}.get(version, hex(version)) + (" marked" if random[24:] == b"DOWNGRD\1" else "")


def say(body, length=None, version=0x0301):
    return exchange(record(22, message(1, body, length), version))


# --- conversation ---


@both("conversation", "200")
def a_request_and_its_answer(version):
    return ask(shake(version))


@both("conversation", "200")
def another_suite(version):
    return ask(shake(version, cipher="chacha20-poly1305"))


@conversation("conversation", "handshake_failure")
def no_suite_in_common():
    return say(hello(suites=[0x002F, 0x0035, 0x000A]))


# The proxy reads a ClientHello before it knows what becomes of the connection; what is none ends there.
@conversation("conversation", ("unexpected_message", "decode_error", "closed"))
def a_finished_first():
    return exchange(record(22, message(20, bytes(12))))


@conversation("conversation", "closed")
def application_data_first():
    return exchange(record(23, b"GET / HTTP/1.1\r\n\r\n", 0x0303))


@conversation("conversation", ("unexpected_message", "decode_error", "closed"))
def an_unknown_handshake_message_first():
    return exchange(record(22, message(77, bytes(8))))


@both("conversation", ("unexpected_message", "decode_error", "illegal_parameter"))
def a_second_client_hello_after_the_handshake(version):
    client = shake(version)
    for _ in client._sendMsgThroughSocket(Message(ContentType.handshake, bytearray(message(1, hello())))):
        pass
    return ask(client) if version == "1.3" else first_alert(client)


def first_alert(client):
    """A warning counts as well: no_renegotiation is what TLS 1.2 has for it."""
    for kind in client._getNextRecord():
        if kind in (0, 1):
            continue
        header, parser = kind
        if header.type == ContentType.alert:
            level, description = parser.get(1), parser.get(1)
            return {100: "unexpected_message"}.get(description, ALERTS.get(description, str(description)))
        return f"record {header.type}"


# --- version-negotiation ---


@conversation("version-negotiation", "protocol_version")
def ssl_3():
    return say(hello(version=0x0300, more=extensions(versions=None)))


@conversation("version-negotiation", "protocol_version")
def tls_1_0():
    return say(hello(version=0x0301, more=extensions(versions=None)))


@conversation("version-negotiation", "protocol_version")
def tls_1_1():
    return say(hello(version=0x0302, more=extensions(versions=None)))


@conversation("version-negotiation", "1.2 marked")
def tls_1_2_is_marked_as_less_than_could_be_had():
    return say(hello(more=extensions(versions=None)))


@conversation("version-negotiation", "1.2 marked")
def a_version_of_the_future_without_the_extension():
    return say(hello(version=0x0305, more=extensions(versions=None)))


@conversation("version-negotiation", "1.3")
def tls_1_3_among_unknown_ones():
    return say(hello(more=extensions(versions=(0x7A7A, 0x0305, 0x0304, 0x0302))))


@conversation("version-negotiation", "protocol_version")
def unknown_versions_alone():
    return say(hello(more=extensions(versions=(0x7A7A, 0x0305))))


@conversation("version-negotiation", "protocol_version")
def old_versions_alone_in_the_extension():
    return say(hello(more=extensions(versions=(0x0302, 0x0301))))


@conversation("version-negotiation", "1.3")
def the_extension_wins_over_an_old_number():
    return say(hello(version=0x0303, more=extensions(versions=(0x0304,))))


@conversation("version-negotiation", "1.3")
def records_of_another_version():
    return say(hello(), version=0x0300)


# RFC 7507's signal is not known here. It guards fall-backs below 1.2, which are refused, and that from 1.3 to 1.2
# shows by the mark in the server's random, which a client of 1.3 has to look for.
@conversation("version-negotiation", ("inappropriate_fallback", "1.2 marked"))
def fallback_signal():
    return say(hello(suites=SUITES + [0x5600], more=extensions(versions=None)))


# --- lengths ---

BROKEN = ("decode_error", "illegal_parameter", "unexpected_message", "handshake_failure", "missing_extension")


def broken(name, body, length=None):
    def one():
        return say(body(), length)

    one.__name__ = name
    conversation("lengths", BROKEN)(one)


broken("a_byte_behind_the_extensions", lambda: hello(tail=b"\0"))
broken("bytes_behind_the_extensions", lambda: hello(tail=bytes(300)))
broken("a_session_of_33_bytes", lambda: hello(session=bytes(33)))
broken("a_session_longer_than_the_message", lambda: struct.pack(">H", 0x0303) + bytes(32) + b"\xff" + bytes(10))
broken("an_odd_list_of_suites", lambda: hello(raw_suites=b"\x13\x01\xc0"))
broken("no_suites", lambda: hello(raw_suites=b""))
broken("no_compressions", lambda: hello(compressions=b""))
broken("compressions_without_none", lambda: hello(compressions=b"\1"))
broken("extensions_longer_than_the_message", lambda: hello(raw_extensions=b"\xff\xff" + bytes(40)))
broken("extensions_shorter_than_their_list", lambda: hello(raw_extensions=b"\0\4" + struct.pack(">HH", 0, 40) + bytes(40)))
broken("an_extension_longer_than_the_list", lambda: hello(more=extensions()[:-1], raw_extensions=vector(2, struct.pack(">HH", 43, 9) + b"\2\3\4")))
broken("the_same_extension_twice", lambda: hello(more=extensions() + [(0, sni(NAME))]))
broken("a_server_name_list_of_a_wrong_length", lambda: hello(more=[(0, b"\0\x40" + sni(NAME)[2:])] + extensions()[1:]))
broken("an_empty_server_name_list", lambda: hello(more=[(0, b"\0\0")] + extensions()[1:]))
broken("an_empty_list_of_groups", lambda: hello(more=[e if e[0] != 10 else (10, b"\0\0") for e in extensions()]))
broken("an_odd_list_of_signature_schemes", lambda: hello(more=[e if e[0] != 13 else (13, b"\0\3\4\3\4") for e in extensions()]))
broken("an_empty_protocol_name", lambda: hello(more=[e if e[0] != 16 else (16, b"\0\1\0") for e in extensions()]))
broken("a_share_of_a_wrong_length", lambda: hello(more=[e if e[0] != 51 else (51, vector(2, b"\0\x1d\0\4abcd")) for e in extensions()]))
broken("an_empty_list_of_versions", lambda: hello(more=[e if e[0] != 43 else (43, b"\0") for e in extensions()]))


@conversation("lengths", BROKEN + ("closed",))
def a_message_that_is_too_long_for_any():
    return exchange(record(22, message(1, hello(), 0xFFFFFF)))


@conversation("lengths", "1.3")
def padding_to_60000_bytes_is_legal():
    body = hello(more=extensions() + [(21, bytes(59000))])
    whole = message(1, body)
    return exchange(b"".join(record(22, whole[at:at + 16000]) for at in range(0, len(whole), 16000)))


# --- zero-length-data ---


@both("zero-length-data", "200")
def empty_records_before_and_within_a_request(version):
    client = shake(version)
    for _ in range(4):
        raw(client, ApplicationData().create(bytearray()))
    for byte in request(client):
        raw(client, ApplicationData().create(bytearray([byte])))
        if byte in b"\r\n":
            raw(client, ApplicationData().create(bytearray()))
    return status(client)


@conversation("zero-length-data", ("unexpected_message", "decode_error", "1.3"))
def an_empty_handshake_record():
    return exchange(record(22, b"") + record(22, message(1, hello())))


@conversation("zero-length-data", ("unexpected_message", "decode_error"))
def a_flood_of_empty_handshake_records():
    return exchange(record(22, b"") * 5000)


@both("zero-length-data", ("unexpected_message", "decode_error", "bad_record_mac", "closed"))
def an_empty_alert(version):
    client = shake(version)
    raw(client, Message(ContentType.alert, bytearray()))
    return ask(client)


# --- finished ---


def finished(change):
    def changed(given):
        if isinstance(given, Finished):
            given.verify_data = change(bytearray(given.verify_data))
        return [given]

    return changed


@both("finished", "decrypt_error")
def the_first_bit_wrong(version):
    return ask(shake(version, finished(lambda data: bytearray([data[0] ^ 1]) + data[1:])))


@both("finished", "decrypt_error")
def the_last_bit_wrong(version):
    return ask(shake(version, finished(lambda data: data[:-1] + bytearray([data[-1] ^ 0x80]))))


@both("finished", ("decrypt_error", "decode_error"))
def a_byte_short(version):
    return ask(shake(version, finished(lambda data: data[:-1])))


@both("finished", ("decrypt_error", "decode_error"))
def a_byte_long(version):
    return ask(shake(version, finished(lambda data: data + bytearray(1))))


@both("finished", ("decrypt_error", "decode_error"))
def empty(version):
    return ask(shake(version, finished(lambda data: bytearray())))


@both("finished", ("decrypt_error", "decode_error", "unexpected_message"))
def of_16_kilobytes(version):
    return ask(shake(version, finished(lambda data: data + bytearray(16000))))


# --- keyupdate ---


@conversation("keyupdate", "200")
def asked_for_and_answered():
    client = shake("1.3")
    for _ in client.send_keyupdate_request(1):
        pass
    return ask(client)


@conversation("keyupdate", "200")
def told_and_not_answered():
    client = shake("1.3")
    for _ in range(3):
        for _ in client.send_keyupdate_request(0):
            pass
    return ask(client)


@conversation("keyupdate", ("illegal_parameter", "decode_error"))
def of_a_kind_that_does_not_exist():
    client = shake("1.3")
    for _ in client._sendMsg(KeyUpdate().create(2)):
        pass
    return ask(client)


@conversation("keyupdate", ("decode_error", "illegal_parameter"))
def without_its_kind():
    client = shake("1.3")
    raw(client, Message(ContentType.handshake, bytearray(message(24, b""))))
    return ask(client)


@conversation("keyupdate", ("decode_error", "illegal_parameter"))
def with_a_byte_too_many():
    client = shake("1.3")
    raw(client, Message(ContentType.handshake, bytearray(message(24, b"\0\0"))))
    return ask(client)


@conversation("keyupdate", "unexpected_message")
def behind_another_message_in_its_record():
    client = shake("1.3")
    raw(client, Message(ContentType.handshake, bytearray(message(24, b"\0") + message(24, b"\0"))))
    return ask(client)


@conversation("keyupdate", ("unexpected_message", "decode_error"))
def in_tls_1_2():
    client = shake("1.2")
    raw(client, Message(ContentType.handshake, bytearray(message(24, b"\1"))))
    return ask(client)


@conversation("keyupdate", "unexpected_message")
def before_the_finished():
    def early(given):
        return [KeyUpdate().create(0), given] if isinstance(given, Finished) else [given]

    return ask(shake("1.3", early))


# --- ccs ---


def ccs(content=b"\1"):
    return Message(ContentType.change_cipher_spec, bytearray(content))


@conversation("ccs", "closed")
def before_any_hello():
    return exchange(record(20, b"\1", 0x0303) + record(22, message(1, hello())))


@conversation("ccs", "unexpected_message")
def before_the_key_exchange_in_1_2():
    def early(given):
        return [ccs(), given] if isinstance(given, ClientKeyExchange) else [given]

    return ask(shake("1.2", early))


@conversation("ccs", ("unexpected_message", "decode_error", "illegal_parameter"))
def of_another_value_in_1_2():
    def other(given):
        return [ccs(b"\2")] if isinstance(given, ChangeCipherSpec) else [given]

    return ask(shake("1.2", other))


@conversation("ccs", ("unexpected_message", "decode_error", "bad_record_mac"))
def twice_in_1_2():
    def twice(given):
        return [given, ccs()] if isinstance(given, ChangeCipherSpec) else [given]

    return ask(shake("1.2", twice))


@conversation("ccs", ("unexpected_message", "decode_error"))
def after_the_handshake_in_1_2():
    client = shake("1.2")
    raw(client, ccs())
    return ask(client)


@conversation("ccs", "unexpected_message")
def after_the_handshake_in_1_3():
    client = shake("1.3")
    raw(client, ccs())
    return ask(client)


@conversation("ccs", "unexpected_message")
def of_another_value_in_1_3():
    def other(given):
        return [ccs(b"\2"), given] if isinstance(given, Finished) else [given]

    return ask(shake("1.3", other))


@conversation("ccs", "200")
def once_before_the_finished_in_1_3():
    return ask(shake("1.3"))


# --- record-layer-limits ---


def get_with(length):
    """A request whose head is as long as this."""
    head = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nX-Long: "
    return (head + "a" * (length - len(head) - 4) + "\r\n\r\n").encode()


@both("record-layer-limits", "200")
def a_record_of_16384_bytes(version):
    client = shake(version)
    raw(client, ApplicationData().create(bytearray(get_with(2 ** 14))))
    return status(client)


@both("record-layer-limits", "record_overflow")
def a_record_of_16385_bytes(version):
    client = shake(version)
    raw(client, ApplicationData().create(bytearray(get_with(2 ** 14 + 1))))
    return status(client)


# RFC 8446 section 5.2 names record_overflow; rustls reads the head of such a record as malformed. Both end it.
@both("record-layer-limits", ("record_overflow", "decode_error", "closed"))
def a_record_longer_than_any_ciphertext(version):
    client = shake(version)
    client.sock.sendall(record(23, bytes(2 ** 14 + 2049), 0x0303))
    return status(client)


# rustls takes plain records up to the bound of encrypted ones, 2 KB more than section 5.1 has; none that is longer.
@conversation("record-layer-limits", ("record_overflow", "decode_error", "illegal_parameter", "closed", "1.3"))
def a_hello_in_a_record_that_is_too_long():
    body = hello(more=extensions() + [(21, bytes(17000))])
    return exchange(record(22, message(1, body)))


@conversation("record-layer-limits", ("record_overflow", "decode_error", "closed"))
def a_hello_in_a_record_longer_than_any():
    body = hello(more=extensions() + [(21, bytes(20000))])
    return exchange(record(22, message(1, body)))


@both("record-layer-limits", ("bad_record_mac", "decode_error"))
def a_record_shorter_than_its_tag(version):
    client = shake(version)
    client.sock.sendall(record(23, bytes(8), 0x0303))
    return status(client)


@both("record-layer-limits", "bad_record_mac")
def a_record_whose_tag_is_wrong(version):
    client = shake(version)
    client.sock.sendall(record(23, os.urandom(64), 0x0303))
    return status(client)


def main():
    count = 0
    for group, name, expected, work in CONVERSATIONS:
        if group != GROUP:
            continue
        count += 1
        seen = outcome(work)
        print(f"ok {name}" if seen in expected else f"FAIL {name}: expected {' or '.join(expected)}, seen {seen}", flush=True)
    print(f"{count} conversations")


main()
