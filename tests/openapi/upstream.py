"""An upstream of orders, as tests/guests/orders requests them: the order exists, but for an id with a `0`."""

import http.server
import json

ORDER = {
    "id": "42",
    "lines": [{"sku": "tea", "quantity": 3, "currency": "EUR", "minor": 9007199254740993}],
    "transfer": ["bank", 18446744073709551615],
    "history": [1, -404],
}


class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/open"):
            self.answer(200, ["42"])
        elif "0" in self.path.split("?")[0]:
            self.answer(404, None)
        else:
            self.answer(200, ORDER)

    def do_POST(self):
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
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Orders)
print("port", server.server_port, flush=True)
server.serve_forever()
