"""A tap in the line between Nivel and one tool: passes every request on, and keeps what was asked for.

So "wrote nothing" is what the tool's line carried, not what Nivel says of itself.
"""

import http.client
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization"}


class Tap:
    """Listens on a free port of loopback; `url` takes the place of the tool's own."""

    def __init__(self, tool):
        self.tool = tool
        self.lock = threading.Lock()
        self.seen = []
        target = urllib.parse.urlsplit(tool.url)
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP | {"host"}}
                line = http.client.HTTPConnection(target.hostname, target.port, timeout=120)
                try:
                    line.request(self.command, self.path, body or None, headers)
                    answer = line.getresponse()
                    content = answer.read()
                    tap.keep(self.command, self.path, body, answer.status, content)
                    self.send_response(answer.status, answer.reason)
                    for name, value in answer.getheaders():
                        if name.lower() not in HOP | {"content-length", "date", "server"}:
                            self.send_header(name, value)
                    if answer.status not in (204, 304):
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)
                except OSError as error:
                    tap.keep(self.command, self.path, body, 0, str(error).encode())
                    self.close_connection = True
                finally:
                    line.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}{target.path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, method, path, body, status, content):
        with self.lock:
            self.seen.append((method, path, body[:2000].decode("utf-8", "replace"), status, content[:500].decode("utf-8", "replace")))

    def take(self):
        """What passed since the last time: (reads, writes), each a list of (method, path, body, status, answer)."""
        with self.lock:
            seen, self.seen = self.seen, []
        writes = [one for one in seen if self.tool.is_write(one[0], one[1])]
        return [one for one in seen if one not in writes], writes

    def close(self):
        self.server.shutdown()
        self.server.server_close()
