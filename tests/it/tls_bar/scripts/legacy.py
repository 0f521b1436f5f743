"""A TLS server or client with nothing but what it is told to speak, however old: tlslite-ng still knows it all.

    legacy.py serve SETTINGS CHAIN KEY       prints its port, then a line for every request it could read
    legacy.py fetch SETTINGS PROXY NAME      CONNECT through the proxy, a handshake, a GET; prints the status line

SETTINGS is JSON: versions, ciphers, kx, macs, dh ([g, p] in hexadecimal), anon, ask (what the server does after the
handshake: "renegotiate" asks for another one), random_end (how ServerHello.random ends, in hexadecimal).
"""

import json
import socket
import sys
import threading

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.constants import CipherSuite, ContentType
from tlslite.messages import HelloRequest, ServerHello


def settings(given):
    made = HandshakeSettings()
    versions = [tuple(version) for version in given["versions"]]
    made.minVersion, made.maxVersion = min(versions), max(versions)
    # Without this the server quietly goes on with later ones.
    made.versions = versions
    for name, value in [("cipherNames", "ciphers"), ("keyExchangeNames", "kx"), ("macNames", "macs")]:
        if value in given:
            setattr(made, name, given[value])
    made.minKeySize = 512
    if "dh" in given:
        made.dhParams = tuple(int(number, 16) for number in given["dh"])
    return made


def serve(given, chain_file, key_file):
    chain = X509CertChain()
    chain.parsePemList(open(chain_file).read())
    key = parsePEMKey(open(key_file).read(), private=True)
    if "random_end" in given:
        end, create = bytes.fromhex(given["random_end"]), ServerHello.create

        def marked(self, version, random, *more, **named):
            return create(self, version, random[: -len(end)] + end, *more, **named)

        ServerHello.create = marked
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(listener.getsockname()[1], flush=True)

    def one(sock):
        connection = TLSConnection(sock)
        try:
            if given.get("anon"):
                connection.handshakeServer(anon=True, settings=settings(given))
            else:
                connection.handshakeServer(certChain=chain, privateKey=key, settings=settings(given))
            if given.get("ask") == "renegotiate":
                for _ in connection._sendMsg(HelloRequest().create()):
                    pass
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.read(max=4096)
                if not part:
                    return
                head += bytes(part)
            print("request", flush=True)
            connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nold\n")
            connection.close()
        except Exception as error:
            print("ended", type(error).__name__, error, flush=True)
        finally:
            sock.close()

    while True:
        sock, _ = listener.accept()
        sock.settimeout(20)
        threading.Thread(target=one, args=(sock,), daemon=True).start()


def fetch(given, proxy, name):
    host, port = proxy.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), 20)
    sock.sendall(f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = sock.recv(1)
        if not part:
            sys.exit("the proxy closed the connection")
        head += part
    if b" 200 " not in head.split(b"\r\n")[0]:
        sys.exit(head.decode("latin-1"))
    connection = TLSConnection(sock)
    if given.get("anon"):
        connection.handshakeClientAnonymous(settings=settings(given))
    else:
        connection.handshakeClientCert(settings=settings(given), serverName=name)
    connection.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    answer = bytes(connection.read(min=12, max=4096)).split(b"\r\n")[0].decode("latin-1")
    suite = CipherSuite.ietfNames.get(connection.session.cipherSuite, "?")
    print(answer, connection.getVersionName(), suite)


if __name__ == "__main__":
    command, given, rest = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
    {"serve": serve, "fetch": fetch}[command](given, *rest)
