"""Mutual TLS between proxies, and TLS towards clients. Only TLS 1.3."""

from dataclasses import dataclass
from pathlib import Path

from envoy_data_plane.envoy.config.core.v3 import DataSource, TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from mesh.topology import Edge, Instance, Topology, identity

_NAME = "envoy.transport_sockets.tls"
# Both, because a minimum of 1.3 alone leaves the maximum for upstream at 1.2: no connection comes about.
_ONLY_1_3 = TlsParameters(
    tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
    tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a proxy proves itself with, and whom it believes."""

    certificate: Path
    key: Path
    ca: Path
    trust_domain: str

    @classmethod
    def of(cls, node: Instance | Edge, topology: Topology) -> "Credentials":
        """Those of a proxy."""
        return cls(node.certificate, node.key, topology.ca, topology.trust_domain)


def to_service(own: Credentials, service: str) -> TransportSocket:
    """Towards a service's proxies: nobody else is believed to be that service."""
    uri = StringMatcher(exact=identity(service, own.trust_domain))
    context = UpstreamTlsContext(common_tls_context=_mutual(own, uri, ["h2"]), sni=service)
    return TransportSocket(name=_NAME, typed_config=Any.pack(context))


def from_services(own: Credentials) -> TransportSocket:
    """From other proxies: any service of the trust domain; what it may call is for RBAC to say."""
    uri = StringMatcher(prefix=identity("", own.trust_domain))
    context = DownstreamTlsContext(
        common_tls_context=_mutual(own, uri, ["h2"]), require_client_certificate=True
    )
    return TransportSocket(name=_NAME, typed_config=Any.pack(context))


def from_clients(own: Credentials) -> TransportSocket:
    """From applications and operators: they show a JWT, not a certificate."""
    context = DownstreamTlsContext(common_tls_context=_common(own, ["h2", "http/1.1"]))
    return TransportSocket(name=_NAME, typed_config=Any.pack(context))


def _mutual(own: Credentials, uri: StringMatcher, alpn: list[str]) -> CommonTlsContext:
    common = _common(own, alpn)
    common.validation_context = CertificateValidationContext(
        trusted_ca=DataSource(filename=str(own.ca)),
        match_typed_subject_alt_names=[
            SubjectAltNameMatcher(san_type=SubjectAltNameMatcherSanType.URI, matcher=uri)
        ],
    )
    return common


def _common(own: Credentials, alpn: list[str]) -> CommonTlsContext:
    certificate = TlsCertificate(
        certificate_chain=DataSource(filename=str(own.certificate)),
        private_key=DataSource(filename=str(own.key)),
    )
    return CommonTlsContext(tls_params=_ONLY_1_3, tls_certificates=[certificate], alpn_protocols=alpn)
