"""Reads connections (lines of JSON: a name, and the bytes in hexadecimal) as a server on h11 does, and writes what it
sees: each request with its fields and its body, until it refuses something or the bytes are over."""

import json
import sys

import h11


def read(data):
    conn = h11.Connection(h11.SERVER)
    requests, refused, ended = [], False, False
    conn.receive_data(data)
    while True:
        try:
            event = conn.next_event()
        except h11.RemoteProtocolError:
            refused = True
            break
        if isinstance(event, h11.Request):
            requests.append(
                {
                    "method": event.method.decode("latin-1"),
                    "target": event.target.decode("latin-1"),
                    "fields": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in event.headers],
                    "body": "",
                    "whole": False,
                }
            )
        elif isinstance(event, h11.Data):
            requests[-1]["body"] += bytes(event.data).hex()
        elif isinstance(event, h11.EndOfMessage):
            requests[-1]["whole"] = True
            # A refusal: what asks for another protocol goes on with this one.
            status = 400 if requests[-1]["method"] == "CONNECT" else 200
            conn.send(h11.Response(status_code=status, headers=[("content-length", "0")]))
            conn.send(h11.EndOfMessage())
            if conn.our_state is h11.MUST_CLOSE:
                break
            conn.start_next_cycle()
        elif event is h11.NEED_DATA and not ended:
            ended = True
            try:
                conn.receive_data(b"")
            except h11.RemoteProtocolError:
                break
        else:
            break
    return {"requests": requests, "refused": refused}


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"name": asked["name"], **read(bytes.fromhex(asked["bytes"]))}))
