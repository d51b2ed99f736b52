"""The embedded services: whole or not at all, and gone when they are told to go."""

from __future__ import annotations

import email
import os
import shlex
import smtplib
import socket
import stat
import subprocess
import sys
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import psutil
import pytest
import requests
from supervisor.options import UnhosedConfigParser, expand

from osteon.embedded.mail import body_html, page
from osteon.embedded.ports import HOST, free_ports, is_free
from osteon.embedded.programs import configuration
from osteon.embedded.stack import Stack
from osteon.errors import ServiceError
from osteon.lake import Lake
from tests.conftest import fresh_settings


def listening(pids: set[int]) -> set[str]:
    """Addresses that the processes listen on."""
    found = psutil.net_connections(kind="tcp")
    return {item.laddr.ip for item in found if item.laddr and item.status == psutil.CONN_LISTEN and item.pid in pids}


def test_services_start_once_listen_on_loopback_only_and_leave_nothing(tmp_path: Path) -> None:
    stack = Stack(fresh_settings(tmp_path / "state"))
    try:
        assert stack.up(["s3", "mail"]) == ["s3", "mail"]
        assert stack.up(["s3", "mail"]) == []
        assert Stack(stack.settings).running() == {"s3", "mail"}, "another process sees the same services"
        supervisor = psutil.Process(int((stack.home / "supervisord.pid").read_text()))
        family = [supervisor, *supervisor.children(recursive=True)]
        assert listening({process.pid for process in family}) == {HOST}
        for name in ("stack.json", "s3-identities.json", "supervisord.conf", "airflow-passwords.json"):
            assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600, name
        stack.down(["mail"])
        assert stack.running() == {"s3"}
    finally:
        stack.down()
    gone = [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not gone and stack.running() == set()
    assert is_free(stack.settings.s3_port) and is_free(stack.settings.mail_port)
    stack.down()


def test_a_taken_port_is_named_with_its_setting_and_nothing_is_started(tmp_path: Path) -> None:
    settings = fresh_settings(tmp_path / "state")
    message = rf"port {settings.mail_port} is taken.*OSTEON_MAIL_PORT"
    with socket.create_server((HOST, settings.mail_port)), pytest.raises(ServiceError, match=message):
        Stack(settings).up(["s3", "mail"])
    assert Stack(settings).running() == set()


def test_the_store_refuses_who_has_no_key(stack: Stack) -> None:
    assert requests.get(f"{stack.urls()['s3']}/osteon", timeout=5).status_code == 403


def test_mails_are_kept_and_shown_without_running_what_is_in_them(stack: Stack) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "<b>Überprüfung</b>", "a@localhost", "b@localhost"
    message.set_content("plain")
    message.add_alternative("<p>rich</p><img src='cid:one'><script>alert(1)</script>", subtype="html")
    _, rich = message.iter_parts()
    assert isinstance(rich, EmailMessage)
    rich.add_related(b"\x89PNG", "image", "png", cid="<one>")
    before = set((stack.home / "mail").glob("*.eml"))
    with smtplib.SMTP(HOST, stack.settings.smtp_port, timeout=10) as client:
        client.send_message(message)
    (kept,) = set((stack.home / "mail").glob("*.eml")) - before
    read = email.message_from_bytes(kept.read_bytes(), policy=default)
    assert read["Subject"] == "<b>Überprüfung</b>"

    url = stack.urls()["mail"]
    index = requests.get(url, timeout=5)
    assert "&lt;b&gt;Überprüfung&lt;/b&gt;" in index.text and "<b>Ü" not in index.text
    body = requests.get(f"{url}/body/{kept.name}", timeout=5)
    assert "sandbox" in body.headers["Content-Security-Policy"] and "data:image/png;base64,iVBORw" not in index.text
    assert "data:image/png;base64" in body.text and "cid:one" not in body.text
    assert requests.get(f"{url}/raw/{kept.name}", timeout=5).content == kept.read_bytes()
    for path in ("/mail/../stack.json", "/raw/%2e%2e%2fstack.json", "/raw/absent.eml", "/x"):
        assert page(stack.home / "mail", path)[0] == 404
    assert "<pre>" in body_html(_plain("<i>x</i>")) and "<i>" not in body_html(_plain("<i>x</i>"))


def test_free_ports_are_distinct_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5 and all(is_free(port) for port in ports)


def _plain(text: str) -> EmailMessage:
    message = EmailMessage()
    message.set_content(text)
    return message


def test_commands_find_the_embedded_services_without_being_told_their_keys(stack: Stack) -> None:
    names = ("state_dir", "s3_port", "mlflow_port")
    variables = {f"OSTEON_{name.upper()}": str(getattr(stack.settings, name)) for name in names}
    command = [sys.executable, "-m", "osteon.cli", "doctor", "--only", "lake", "--only", "mlflow"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("ok ") == 2, done.stdout + done.stderr


def test_commands_work_where_what_embedded_services_need_is_not_installed(tmp_path: Path) -> None:
    code = "import sys; sys.modules['psutil'] = sys.modules['supervisor'] = None\n"
    code += "from osteon import cli; sys.argv = ['osteon', 'doctor', '--only', 'weather']; cli.entry()"
    variables = {"OSTEON_STATE_DIR": str(tmp_path), "OSTEON_S3_ACCESS_KEY": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "doctor knows code, lake" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["my project 50%", 'it\'s "Müller" ; #2 $HOME', "%(here)s \\ (b)"])
def test_the_process_manager_reads_every_path_as_it_is(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    words = [f"/bin of {home}/weed", f"-dir={home}/s3", "%s", "a'b", "; c", ""]
    parser = UnhosedConfigParser()
    parser.expansions = {"ENV_OSTEON_STATE_DIR": str(home)}
    parser.read_string(configuration({"s3": {"s3": words}}, home, str(home / "supervisor.sock")))
    assert shlex.split(parser.saneget("program:s3", "command")) == words
    assert parser.saneget("unix_http_server", "file") == str(home / "supervisor.sock")
    assert parser.saneget("supervisord", "pidfile") == str(home / "supervisord.pid")
    once = parser.saneget("program:s3", "stdout_logfile")
    assert expand(once, parser.expansions, "again") == str(home / "log" / "s3.log")


def test_services_start_and_stop_in_a_folder_whose_name_means_something_elsewhere(tmp_path: Path) -> None:
    stack = Stack(fresh_settings(tmp_path / 'it\'s a "Müller" 50% ;#2'))
    try:
        assert stack.up(["s3", "mail"]) == ["s3", "mail"]
        Lake.from_settings(stack.applied_settings()).put_json("a.json", 1)
        assert {path.name for path in (stack.home / "log").iterdir()} == {"s3.log", "mail.log", "supervisord.log"}
    finally:
        stack.down()
    assert stack.running() == set()
