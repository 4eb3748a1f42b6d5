"""Tells which Python it runs in."""

import os
import subprocess
import sys


def application(environ, start_response):
    start_response("200 OK", [])
    asked = subprocess.run([sys.executable, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    return [
        "\n".join(
            [
                sys.prefix,
                sys.base_prefix,
                sys.executable,
                str(any(p.startswith(sys.prefix) and p.endswith("site-packages") for p in sys.path)),
                sys.path[0],
                sys.path[1],
                f"ran by the virtualenv's python: {asked.stdout.strip() == sys.prefix}",
            ]
        ).encode()
    ]
