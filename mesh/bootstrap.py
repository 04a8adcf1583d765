"""What an Envoy is started with: who it is, where its control plane and its admin socket are.

    path.write_text(json.dumps(bootstrap("query-a-0", "query", "a", Path("admin.sock"), Path("mesh.sock"))))
    subprocess.Popen(command(path))

All else comes by xDS.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

MESH_CLUSTER = "mesh"
"""The cluster of the control planes; the only one that is static."""
MAX_CONNECTIONS = 4096
"""Downstream connections that a proxy holds at most; more are closed at once."""

_OWNER_ONLY = 0o600
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# It only counts, and nobody looks at that: who depends on a proxy pings it. By default it makes an idle proxy
# wake up thirty times a second, half of all its wake-ups.
_WATCHDOG = {"miss_timeout": "10s", "megamiss_timeout": "10s"}
_ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}


def command(bootstrap_path: Path) -> list[str]:
    """The arguments that start an Envoy from a bootstrap file; it logs warnings to stderr.

    One worker thread: a machine runs one proxy for each instance, and they share its cores. No hot restart:
    its shared memory is named by a number that would have to differ between all proxies of a machine.
    """
    binary = resources.files("envoy") / "_bin" / "envoy"
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
    # By default a line about a failed call is kept back for up to ten seconds.
    options += ["--file-flush-interval-msec", "1000"]
    # By default few clients are told at first that a listener drains, and this one drains for seconds.
    options += ["--drain-strategy", "immediate"]
    return [str(binary), "--config-path", str(bootstrap_path), *options]


def bootstrap(
    node_id: str, service: str, zone: str, admin_socket: Path, *mesh_sockets: Path
) -> dict[str, Any]:
    """The JSON value of a proxy's bootstrap file. Envoy refuses sockets of more than 107 bytes.

    `mesh_sockets`: those of the control planes, the nearest first, at least one. A proxy goes on to the next
    when the one it listens to dies, within about a second, or freezes, within some; it stays there while that
    is well.
    """
    if not mesh_sockets:
        raise ValueError("a proxy needs the socket of at least one control plane")
    return {
        "node": {"id": node_id, "cluster": service, "locality": {"zone": zone}},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": _OWNER_ONLY}}},
        "dynamic_resources": {"ads_config": _ads(), "cds_config": _ADS, "lds_config": _ADS},
        "static_resources": {"clusters": [_control_planes(mesh_sockets)]},
        # Without it histograms are merged by a timer in every proxy, and are stale when somebody looks.
        "stats_flush_on_admin": True,
        "overload_manager": _overload(),
        "watchdogs": {"main_thread_watchdog": _WATCHDOG, "worker_watchdog": _WATCHDOG},
    }


def _ads() -> dict[str, Any]:
    # By default the pause between tries grows to 30 s: too long to wait for a control plane that is back.
    retry = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": MESH_CLUSTER, "retry_policy": retry}}],
    }


def _control_planes(sockets: Sequence[Path]) -> dict[str, Any]:
    # One that hangs is noticed by its missing pongs, not after the kernel's minutes.
    keepalive = {"interval": "0.5s", "timeout": "0.5s"}
    return {
        "name": MESH_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": MESH_CLUSTER,
            "endpoints": [_rank(priority, socket) for priority, socket in enumerate(sockets)],
        },
        # Nothing asks how a control plane is but the stream: once it has ended, the next one is tried.
        "outlier_detection": {
            "consecutive_5xx": 1,
            "enforcing_consecutive_5xx": 100,
            "interval": "0.5s",
            "base_ejection_time": "5s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            }
        },
    }


def _rank(priority: int, socket: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {"priority": priority, "lb_endpoints": [endpoint]}


def _overload() -> dict[str, Any]:
    monitor = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {
        "@type": f"type.googleapis.com/{monitor}",
        "max_active_downstream_connections": MAX_CONNECTIONS,
    }
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {"resource_monitors": [{"name": name, "typed_config": limit}]}
