"""An upstream of orders, as tests/guests/orders requests them: the order exists, but for an id with a `0`.

It prints its port, and then each request before it answers it. Requests of the tenant `held` wait until one of
`/release` comes. For the tenants `failing`, `cut` and `other`, an order is an error, invalid JSON, and JSON in another
form.
"""

import http.server
import json
import threading

ORDER = {
    "id": "42",
    "lines": [{"sku": "tea", "quantity": 3, "currency": "EUR", "minor": 9007199254740993}],
    "transfer": ["bank", 18446744073709551615],
    "history": [1, -404],
}
released = threading.Event()


class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        print("GET", self.path, flush=True)
        tenant = self.path.split("/")[1]
        if tenant == "held":
            released.wait()
        if tenant == "release":
            released.set()
            self.answer(200, None)
        elif tenant == "failing":
            self.answer(500, None)
        elif tenant == "cut":
            self.send(200, b'{"id": "42"')
        elif tenant == "other":
            self.answer(200, ORDER | {"history": [1.5]})
        elif self.path.endswith("/open"):
            self.answer(200, ["42"])
        elif "0" in self.path.split("?")[0]:
            self.answer(404, None)
        else:
            self.answer(200, ORDER)

    def do_POST(self):
        print("POST", self.path, flush=True)
        skus = json.loads(self.body())
        self.answer(409 if len(skus) > 1 else 200, skus if len(skus) > 1 else "43")

    def body(self):
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, value):
        self.send(status, json.dumps(value).encode())

    def send(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Orders)
print("port", server.server_port, flush=True)
server.serve_forever()
