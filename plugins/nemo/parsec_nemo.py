"""Parsec in Nemo."""

import os
import sys

import gi

beside = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
shared = beside if os.path.exists(os.path.join(beside, "parsec_gi.py")) else "/usr/share/parsec/plugins"
if shared not in sys.path:
    sys.path.append(shared)

import parsec_gi  # noqa: E402

parsec_gi.require(gi, "Nemo", ("3.0",))

from gi.repository import Nemo  # noqa: E402

Parsec = parsec_gi.provider(Nemo, "Nemo")
