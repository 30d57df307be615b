"""A receiver of webhooks in the standard library. Prints what comes; WEBHOOK_KEY lets it check the sender."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("WEBHOOK_KEY", "")
TOLERANCE = 300


def signed_by_us(headers, body: bytes) -> bool:
    """Tell whether one of the signatures is right and the timestamp recent."""
    stamp = headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    message = f"{headers['webhook-id']}.{stamp}.".encode() + body
    digest = hmac.new(base64.b64decode(KEY.removeprefix("whsec_")), message, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(wanted, given) for given in headers["webhook-signature"].split())


class Hook(BaseHTTPRequestHandler):
    """Answers 204 to what is ours, 401 to the rest."""

    def do_POST(self):
        """Take one webhook."""
        body = self.rfile.read(int(self.headers["content-length"]))
        trusted = not KEY or signed_by_us(self.headers, body)
        verdict = "verified" if KEY and trusted else "not checked" if trusted else "REFUSED"
        try:
            event = json.loads(body)
            told = f"{event['time']} {event['type']} {event['data']['timer']['name']!r}"
        except (ValueError, LookupError, TypeError):
            told = body.decode("utf-8", "replace")  # a body of your own, or a chat's
        print(f"{told} ({verdict})", flush=True)
        self.send_response(204 if trusted else 401)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing else."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Hook)
    except OSError as error:
        sys.exit(f"cannot listen on port {port}: {error.strerror}; choose another: receiver.py PORT")
    print(f"listening on http://127.0.0.1:{port}/hook", flush=True)
    server.serve_forever()
