"""Loopback ports: is one free, and which one is."""

from __future__ import annotations

import socket

from osteon.errors import ServiceError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """True when a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Distinct ports that are free now, below 55,536 so that `port + 10000` is a port too."""
    found: list[int] = []
    with_sockets = []
    try:
        while len(found) < count:
            probe = socket.socket()
            with_sockets.append(probe)
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
            if port < 55_536:
                found.append(port)
    finally:
        for probe in with_sockets:
            probe.close()
    return found


def require_free(port: int, service: str, variable: str) -> None:
    """Raise `ServiceError` that names port, service and the variable that moves it, when the port is taken."""
    if not is_free(port):
        raise ServiceError(f"port {port} is taken, {service} cannot listen there: free it, or set {variable}")
