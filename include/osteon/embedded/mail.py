"""A mail catcher: takes every mail on SMTP, keeps it as `.eml`, and shows it on a page. It sends nothing on."""

from __future__ import annotations

import argparse
import base64
import email
import html
import logging
import re
import signal
import threading
import time
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from aiosmtpd.controller import Controller

from osteon.embedded.ports import HOST

log = logging.getLogger(__name__)
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-src 'self'"
BODY_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = (
    "body{font-family:Helvetica,Arial,sans-serif;margin:24px;color:#1c2530}table{border-collapse:collapse;width:100%}"
)
STYLE += "td,th{text-align:left;padding:6px 10px;border-bottom:1px solid #ddd}iframe{width:100%;height:75vh;border:1px solid #ddd}"
STYLE += "pre{white-space:pre-wrap;background:#f4f5f7;padding:12px}"


class MailStore:
    """aiosmtpd handler that writes each mail to a file of its own, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail as a file, and answer as SMTP asks. aiosmtpd calls it."""
        self.count += 1
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09d}-{self.count:04d}"
        part = self.folder / f"{name}.part"
        part.write_bytes(envelope.content)
        part.rename(self.folder / f"{name}.eml")
        return "250 kept"


def read(path: Path) -> EmailMessage:
    """Parse a kept mail."""
    message = email.message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def body_html(message: EmailMessage) -> str:
    """The HTML part with its inline pictures put into it, or the text part as HTML."""
    part = message.get_body(("html",))
    if part is None:
        text = message.get_body(("plain",))
        return f"<pre>{html.escape(text.get_content() if text is not None else '(no text)')}</pre>"
    pictures = {
        str(item["Content-ID"]).strip(
            "<>"
        ): f"data:{item.get_content_type()};base64,{base64.b64encode(item.get_payload(decode=True)).decode()}"  # type: ignore[arg-type]
        for item in message.walk()
        if item["Content-ID"] and item.get_content_maintype() == "image"
    }
    return re.sub(r"cid:([^\"'\s>]+)", lambda found: pictures.get(found[1], found[0]), part.get_content())


def page(folder: Path, path: str) -> tuple[int, str, str, bytes]:
    """Status, content type, policy and body for a request's path."""
    kinds = {"mail": "text/html; charset=utf-8", "body": "text/html; charset=utf-8", "raw": "message/rfc822"}
    parts = [unquote(part) for part in path.split("?")[0].split("/") if part]
    if not parts:
        return 200, kinds["mail"], PAGE_POLICY, _index(folder).encode()
    known = {item.name: item for item in folder.glob("*.eml")}
    if len(parts) != 2 or parts[0] not in kinds or parts[1] not in known:
        return 404, "text/plain; charset=utf-8", PAGE_POLICY, b"no such mail\n"
    file = known[parts[1]]
    if parts[0] == "raw":
        return 200, kinds["raw"], BODY_POLICY, file.read_bytes()
    message = read(file)
    if parts[0] == "body":
        return 200, kinds["body"], BODY_POLICY, body_html(message).encode()
    text = message.get_body(("plain",))
    plain = html.escape(text.get_content()) if text is not None else "(no plain text)"
    name = quote(file.name)
    return 200, kinds["mail"], PAGE_POLICY, _frame(
        str(message["Subject"]),
        f"<p>from {html.escape(str(message['From']))} to {html.escape(str(message['To']))} &middot; "
        f"<a href='/raw/{name}'>raw</a> &middot; <a href='/'>all mails</a></p>"
        f"<iframe sandbox src='/body/{name}' title='mail'></iframe><h2>Plain text</h2><pre>{plain}</pre>",
    ).encode()  # fmt: skip


def _index(folder: Path) -> str:
    rows = []
    for file in sorted(folder.glob("*.eml"), reverse=True):
        message = read(file)
        cells = (html.escape(str(message[name] or "")) for name in ("Subject", "To"))
        subject, to = cells
        rows.append(
            f"<tr><td>{file.name[:15]}</td><td><a href='/mail/{quote(file.name)}'>{subject}</a></td><td>{to}</td></tr>"
        )
    table = (
        f"<table><tr><th>when</th><th>subject</th><th>to</th></tr>{''.join(rows)}</table>"
        if rows
        else "<p>No mail yet.</p>"
    )
    return _frame("Mails of Osteon", table)


def _frame(title: str, content: str) -> str:
    safe = html.escape(title)
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{safe}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><h1>{safe}</h1>{content}</body></html>"


def main() -> None:
    """Run the mail catcher until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, policy, body = page(options.folder, self.path)
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": policy}
            for name, value in {**headers, "X-Content-Type-Options": "nosniff"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            log.debug(format, *args)

    smtp = Controller(MailStore(options.folder), hostname=HOST, port=options.smtp_port, data_size_limit=64 << 20)
    smtp.start()
    web = ThreadingHTTPServer((HOST, options.http_port), Handler)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=web.serve_forever, daemon=True).start()
    stop.wait()
    web.shutdown()
    smtp.stop()


if __name__ == "__main__":
    main()
