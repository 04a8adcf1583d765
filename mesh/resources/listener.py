"""Listeners: where a proxy takes calls, from whom, and how much of them."""

from datetime import timedelta
from pathlib import Path

from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    Pipe,
    SocketAddress,
    TrafficDirection,
    TransportSocket,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.connection_limit.v3 import ConnectionLimit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerInternalAddressConfig,
    HttpConnectionManagerSetCurrentClientCertDetails,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from mesh.bootstrap import MAX_CONNECTIONS
from mesh.resources import crowd, filters, outcomes, route, tls
from mesh.resources.cluster import from_ads
from mesh.resources.crowd import Crowd
from mesh.resources.tls import Credentials

INBOUND = "inbound"
OUTBOUND = "outbound"
PUBLIC = "public"
OPERATOR = "operator"
HEALTH = "health"
EDGE_STATS = "edge"
"""The prefix of the counters of both of an edge's listeners."""

_BUFFER_BYTES = 1024 * 1024
_STREAM_WINDOW = 256 * 1024
_CLIENT_STREAMS = 256
"""Calls under way on one connection of a client; its library keeps more of them waiting."""
_PEER_STREAMS = 1024
# A stream whose service reads no further, as one whose acks nobody takes, holds back no more than its own
# window: others on the connection go on. Of a client's, so many may stand still before he stops himself.
_CLIENTS_STANDING = 64
_HEADER_KIB = 32
"""As in services/runtime/client.py: a JWT, a token, and the like."""
_OPERATORS_CONNECTIONS = 256
"""What applications leave of a proxy's connections: a crowd of them does not keep operators out."""
_HANDSHAKE_TIMEOUT = timedelta(seconds=10)
_HEADERS_TIMEOUT = timedelta(seconds=10)
_IDLE_STREAM = timedelta(minutes=5)
_IDLE_CONNECTION = timedelta(minutes=15)
_CONNECTION_LIFE = timedelta(hours=1)
"""A certificate is looked at when a connection opens, so none may last for ever."""
_OWNER_ONLY = 0o600


def inbound(address: str, port: int, own: Credentials) -> Listener:
    """From other proxies, by mutual TLS."""
    http2 = _http2(_PEER_STREAMS, _PEER_STREAMS, ping=True)
    manager = _manager(INBOUND, INBOUND, http2, filters.rbac(), filters.arrival())
    manager.common_http_protocol_options = _connections()
    # The service learns who called, from the certificate alone.
    manager.forward_client_cert_details = HttpConnectionManagerForwardClientCertDetails.SANITIZE_SET
    manager.set_current_client_cert_details = HttpConnectionManagerSetCurrentClientCertDetails(uri=True)
    return _listener(INBOUND, _tcp(address, port), manager, TrafficDirection.INBOUND, tls.from_services(own))


def outbound(socket: Path) -> Listener:
    """From the service beside the proxy, by a Unix socket that only its user can open."""
    manager = _manager(OUTBOUND, OUTBOUND, _http2(_PEER_STREAMS, _PEER_STREAMS, ping=False))
    address = Address(pipe=Pipe(path=str(socket), mode=_OWNER_ONLY))
    return _listener(OUTBOUND, address, manager, TrafficDirection.OUTBOUND, None)


def edge(
    name: str, address: str, port: int, own: Credentials, jwks: str, crowds: tuple[Crowd, ...] = ()
) -> Listener:
    """From applications or operators, by TLS and with a JWT. `name` is also that of its routes.

    `crowds`: what of each API is kept out when too much comes.
    """
    http2 = _http2(_CLIENT_STREAMS, _CLIENTS_STANDING, ping=True)
    guards = [filters.jwt(jwks), filters.stamp(), *map(crowd.kept_out, crowds), filters.bridge()]
    manager = _manager(EDGE_STATS, name, http2, *guards)
    # HTTP/1 is let in so that who comes with it is told what is wrong.
    manager.codec_type = HttpConnectionManagerCodecType.AUTO
    manager.common_http_protocol_options = _connections()
    manager.use_remote_address = True
    # Loopback is no reason to trust anybody.
    manager.internal_address_config = HttpConnectionManagerInternalAddressConfig(unix_sockets=False)
    manager.normalize_path = True
    manager.merge_slashes = True
    manager.access_log = [outcomes.failures()]
    manager.local_reply_config = outcomes.refusals(edge=True)
    listener = _listener(name, _tcp(address, port), manager, TrafficDirection.INBOUND, tls.from_clients(own))
    if name == PUBLIC:
        listener.filter_chains[0].filters.insert(0, _connection_limit())
    return listener


def health(socket: Path) -> Listener:
    """From the edge itself, by a Unix socket: it answers that it serves."""
    manager = HttpConnectionManager(
        stat_prefix=HEALTH, route_config=route.health(), http_filters=[filters.router()]
    )
    address = Address(pipe=Pipe(path=str(socket), mode=_OWNER_ONLY))
    return _listener(HEALTH, address, manager, TrafficDirection.INBOUND, None)


def _connection_limit() -> Filter:
    limit = ConnectionLimit(stat_prefix=PUBLIC, max_connections=MAX_CONNECTIONS - _OPERATORS_CONNECTIONS)
    return Filter(name="connection_limit", typed_config=Any.pack(limit))


def _listener(
    name: str,
    address: Address,
    manager: HttpConnectionManager,
    direction: TrafficDirection,
    transport_socket: TransportSocket | None,
) -> Listener:
    chain = FilterChain(filters=[Filter(name="http", typed_config=Any.pack(manager))])
    if transport_socket is not None:
        chain.transport_socket = transport_socket
        # Else who connects and says nothing holds one of the proxy's connections for ever.
        chain.transport_socket_connect_timeout = _HANDSHAKE_TIMEOUT
    return Listener(
        name=name,
        address=address,
        stat_prefix=name,
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
        traffic_direction=direction,
        # One worker needs one socket, and a second proxy on the same port shall fail, not share it.
        enable_reuse_port=False,
    )


def _manager(
    stat_prefix: str, routes: str, http2: Http2ProtocolOptions, *guards: HttpFilter
) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type=HttpConnectionManagerCodecType.HTTP2,
        http2_protocol_options=http2,
        rds=Rds(config_source=from_ads(), route_config_name=routes),
        max_request_headers_kb=_HEADER_KIB,
        request_headers_timeout=_HEADERS_TIMEOUT,
        stream_idle_timeout=_IDLE_STREAM,
        local_reply_config=outcomes.refusals(edge=False),
        http_filters=[*guards, filters.grpc_stats(), filters.router()],
    )


def _tcp(address: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=address, port_value=port))


def _http2(streams: int, standing: int, *, ping: bool) -> Http2ProtocolOptions:
    """`standing`: how many streams may stand still with a full window before the connection does."""
    options = Http2ProtocolOptions(
        max_concurrent_streams=streams,
        initial_stream_window_size=_STREAM_WINDOW,
        initial_connection_window_size=standing * _STREAM_WINDOW,
    )
    if ping:
        options.connection_keepalive = KeepaliveSettings(
            interval=timedelta(seconds=30), timeout=timedelta(seconds=10)
        )
    return options


def _connections() -> HttpProtocolOptions:
    return HttpProtocolOptions(
        idle_timeout=_IDLE_CONNECTION,
        max_connection_duration=_CONNECTION_LIFE,
        # Those that were opened together shall not all be closed together.
        max_connection_duration_jitter=Percent(value=10.0),
    )
