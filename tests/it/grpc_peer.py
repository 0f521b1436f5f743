"""A service and a client of gRPC's own library, without a schema: a message is one string field, written by hand.

serve CERT KEY             prints its port, then every text it gets
call PORT CA KIND PACKED TEXT...   calls through the proxy on PORT and prints what came as JSON
"""
import json
import sys
from concurrent import futures

import grpc


def pack(text):
    data, length = text.encode(), len(text.encode())
    head = b"\x0a"
    while length > 127:
        head += bytes([length & 127 | 128])
        length >>= 7
    return head + bytes([length]) + data


def unpack(message):
    at = 1
    while message[at] & 128:
        at += 1
    return message[at + 1:].decode()


def heard(text):
    print(text, flush=True)
    return text


class Service(grpc.GenericRpcHandler):
    def service(self, details):
        wire = {"request_deserializer": unpack, "response_serializer": pack}
        return {
            "/t.Test/unary": grpc.unary_unary_rpc_method_handler(lambda text, _: heard(text), **wire),
            "/t.Test/upload": grpc.stream_unary_rpc_method_handler(
                lambda texts, _: "".join(heard(text) for text in texts), **wire),
            "/t.Test/download": grpc.unary_stream_rpc_method_handler(
                lambda text, _: iter([heard(text)] * 3), **wire),
            "/t.Test/talk": grpc.stream_stream_rpc_method_handler(
                lambda texts, _: (heard(text) for text in texts), **wire),
        }.get(details.method)


def serve(cert, key):
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Service(),))
    with open(cert, "rb") as certs, open(key, "rb") as keys:
        credentials = grpc.ssl_server_credentials([(keys.read(), certs.read())])
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
    server.start()
    server.wait_for_termination()


def call(port, ca, kind, packed, *texts):
    with open(ca, "rb") as roots:
        credentials = grpc.ssl_channel_credentials(roots.read())
    options = [("grpc.http_proxy", "http://127.0.0.1:" + port)]
    compression = grpc.Compression.Gzip if packed == "gzip" else grpc.Compression.NoCompression
    channel = grpc.secure_channel("dns:///origin.test:443", credentials, options, compression)
    make = {"unary": channel.unary_unary, "upload": channel.stream_unary,
            "download": channel.unary_stream, "talk": channel.stream_stream}[kind]
    method = make("/t.Test/" + kind, request_serializer=pack, response_deserializer=unpack)
    said, got = {"code": "OK", "details": ""}, []
    try:
        answer = method(iter(texts) if kind in ("upload", "talk") else texts[0], timeout=20)
        got.extend([answer] if kind in ("unary", "upload") else answer)
    except grpc.RpcError as error:
        said = {"code": error.code().name, "details": error.details()}
    print(json.dumps({**said, "got": got}))


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
