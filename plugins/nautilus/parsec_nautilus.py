"""Parsec in Nautilus, GNOME Files: extension API 4.1, 4.0 or 3.0, whichever is there."""

import os
import sys

import gi

beside = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
shared = beside if os.path.exists(os.path.join(beside, "parsec_gi.py")) else "/usr/share/parsec/plugins"
if shared not in sys.path:
    sys.path.append(shared)

import parsec_gi  # noqa: E402

parsec_gi.require(gi, "Nautilus", ("4.1", "4.0", "3.0"))

from gi.repository import Nautilus  # noqa: E402

Parsec = parsec_gi.provider(Nautilus, "Nautilus")
