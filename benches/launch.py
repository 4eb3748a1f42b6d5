"""Starts the peers that are libraries, not programs: launch.py bjoern|fastwsgi MODULE CALLABLE PORT."""

import importlib
import os
import sys

server, module, name, port = sys.argv[1:]
sys.path.insert(0, os.getcwd())
application = getattr(importlib.import_module(module), name)
if server == "bjoern":
    import bjoern

    bjoern.run(application, "127.0.0.1", int(port))
else:
    import fastwsgi

    fastwsgi.run(application, "127.0.0.1", int(port), loglevel=0)
