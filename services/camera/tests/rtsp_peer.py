"""Serves one GStreamer pipeline as an RTSP camera; run under the system's Python.

Every client gets a pipeline of its own: one that is shared cannot be had while its last client
leaves, which GStreamer answers with 503. SIGUSR1 closes the elements that are named `valve`.

Usage: python3 -I rtsp_peer.py "videotestsrc ! jpegenc ! rtpjpegpay name=pay0" [tcp|udp]
"""

import signal
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Serves until it is killed; prints the address once it does."""
    versions = import_module("gi")
    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        versions.require_version(name, "1.0")
    gst, rtsp, server = (
        import_module(f"gi.repository.{name}") for name in ("Gst", "GstRtsp", "GstRtspServer")
    )
    gst.init(None)
    peer = server.RTSPServer()
    peer.set_address("127.0.0.1")
    peer.set_service("0")
    factory = server.RTSPMediaFactory()
    factory.set_launch(f"( {sys.argv[1]} )")
    if len(sys.argv) > 2:
        factory.set_protocols(getattr(rtsp.RTSPLowerTrans, sys.argv[2].upper()))
    valves: list[Any] = []

    def note(_factory: object, media: Any) -> None:
        valves.append(media.get_element().get_child_by_name("valve"))

    factory.connect("media-configure", note)
    peer.get_mount_points().add_factory("/cam0", factory)
    peer.attach(None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout.write(f"ready rtsp://127.0.0.1:{peer.get_bound_port()}/cam0\n")
    sys.stdout.flush()
    glib = import_module("gi.repository.GLib")

    def close() -> bool:
        for valve in filter(None, valves):
            valve.set_property("drop", True)
        return True

    glib.unix_signal_add(glib.PRIORITY_DEFAULT, signal.SIGUSR1, close)
    glib.MainLoop().run()


main()
