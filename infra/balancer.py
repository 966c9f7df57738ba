"""The way in: a global address, HTTP or HTTPS, and how requests reach the machines.

Everything is of the scheme EXTERNAL_MANAGED; mixed schemes are refused only half-way through a deployment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from infra import container
from infra.settings import Settings

SCHEME = "EXTERNAL_MANAGED"


class Balancer(pulumi.ComponentResource):
    """The balancer, from the address to the backend service."""

    def __init__(
        self,
        settings: Settings,
        *,
        port_name: str,
        groups: Sequence[pulumi.Input[str]],
        policy: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("classifier:infra:Balancer", settings.name)
        self._settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._root = pulumi.ResourceOptions(parent=self, depends_on=after)
        self.backend = self._backend_service(port_name, groups, policy)
        self._sign_in()
        self.url_map = self._url_map()
        self.addresses = {"ipv4": self._address("IPV4")} | ({"ipv6": self._address("IPV6")} if settings.ipv6 else {})
        if settings.https:
            self._forward("https", 443, self._https_proxy())
            self._forward("http", 80, self._redirect_proxy())
        else:
            self._forward("http", 80, self._http_proxy())
        self.register_outputs({})

    def _backend_service(
        self, port_name: str, groups: Sequence[pulumi.Input[str]], policy: pulumi.Input[str]
    ) -> gcp.compute.BackendService:
        settings, probe = self._settings, container.READINESS
        readiness = gcp.compute.HealthCheck(
            f"{settings.name}-ready",
            description="Takes a machine out of rotation",
            check_interval_sec=probe.interval_sec,
            timeout_sec=probe.timeout_sec,
            healthy_threshold=probe.healthy_threshold,
            unhealthy_threshold=probe.unhealthy_threshold,
            http_health_check=gcp.compute.HealthCheckHttpHealthCheckArgs(port=settings.port, request_path=probe.path),
            log_config=gcp.compute.HealthCheckLogConfigArgs(enable=True),
            opts=self._root,
        )
        return gcp.compute.BackendService(
            settings.name,
            load_balancing_scheme=SCHEME,
            protocol="HTTP",
            port_name=port_name,
            health_checks=readiness.id,
            timeout_sec=container.BALANCER_TIMEOUT_SEC,
            connection_draining_timeout_sec=settings.request_timeout_sec + 1,
            # Of two machines the one with fewer requests: a slow picture holds up nobody behind it.
            locality_lb_policy="LEAST_REQUEST",
            backends=[
                gcp.compute.BackendServiceBackendArgs(
                    group=group, balancing_mode="RATE", max_rate_per_instance=settings.rate, capacity_scaler=1.0
                )
                for group in groups
            ],
            security_policy=policy,
            outlier_detection=gcp.compute.BackendServiceOutlierDetectionArgs(
                # 502, 503 and 504 only: an overloaded machine answers 429 and stays.
                consecutive_gateway_failure=5,
                enforcing_consecutive_gateway_failure=100,
                consecutive_errors=5,
                enforcing_consecutive_errors=0,
                enforcing_success_rate=0,
                interval=gcp.compute.BackendServiceOutlierDetectionIntervalArgs(seconds=5),
                base_ejection_time=gcp.compute.BackendServiceOutlierDetectionBaseEjectionTimeArgs(seconds=30),
                max_ejection_percent=50,
            ),
            log_config=gcp.compute.BackendServiceLogConfigArgs(
                enable=settings.log_sample_percent > 0,
                sample_rate=settings.log_sample_percent / 100 if settings.log_sample_percent else None,
            ),
            custom_response_headers=["Strict-Transport-Security: max-age=31536000"] if settings.https else None,
            iap=gcp.compute.BackendServiceIapArgs(enabled=True) if settings.iap_members else None,
            opts=self._child,
        )

    def _sign_in(self) -> None:
        for member in self._settings.iap_members:
            gcp.iap.WebBackendServiceIamMember(
                f"{self._settings.name}-{member.replace(':', '-')}",
                web_backend_service=self.backend.name,
                role="roles/iap.httpsResourceAccessor",
                member=member,
                opts=self._child,
            )

    def _url_map(self) -> gcp.compute.URLMap:
        return gcp.compute.URLMap(
            self._settings.name,
            default_service=self.backend.id,
            default_route_action=gcp.compute.URLMapDefaultRouteActionArgs(
                # A prediction changes nothing, so it may be asked for twice: a Spot machine that vanished is not seen.
                retry_policy=gcp.compute.URLMapDefaultRouteActionRetryPolicyArgs(
                    num_retries=1, retry_conditions=["connect-failure", "gateway-error"]
                )
            ),
            opts=self._child,
        )

    def _address(self, version: str) -> gcp.compute.GlobalAddress:
        return gcp.compute.GlobalAddress(
            f"{self._settings.name}-{version.lower()}", ip_version=version, address_type="EXTERNAL", opts=self._root
        )

    def _http_proxy(self) -> pulumi.Output[str]:
        return gcp.compute.TargetHttpProxy(self._settings.name, url_map=self.url_map.id, opts=self._child).id

    def _https_proxy(self) -> pulumi.Output[str]:
        settings = self._settings
        # One certificate for each domain: a new domain adds one, and the others go on serving.
        certificates = [
            gcp.compute.ManagedSslCertificate(
                f"{settings.name}-{_short(domain)}",
                managed=gcp.compute.ManagedSslCertificateManagedArgs(domains=[domain]),
                opts=self._root,
            )
            for domain in settings.domains
        ]
        tls = gcp.compute.SSLPolicy(settings.name, profile="MODERN", min_tls_version="TLS_1_2", opts=self._root)
        return gcp.compute.TargetHttpsProxy(
            settings.name,
            url_map=self.url_map.id,
            ssl_certificates=[certificate.id for certificate in certificates],
            ssl_policy=tls.id,
            opts=self._child,
        ).id

    def _redirect_proxy(self) -> pulumi.Output[str]:
        redirect = gcp.compute.URLMap(
            f"{self._settings.name}-to-https",
            default_url_redirect=gcp.compute.URLMapDefaultUrlRedirectArgs(
                https_redirect=True, strip_query=False, redirect_response_code="MOVED_PERMANENTLY_DEFAULT"
            ),
            opts=self._root,
        )
        return gcp.compute.TargetHttpProxy(f"{self._settings.name}-to-https", url_map=redirect.id, opts=self._child).id

    def _forward(self, protocol: str, port: int, proxy: pulumi.Output[str]) -> None:
        for version, address in self.addresses.items():
            gcp.compute.GlobalForwardingRule(
                f"{self._settings.name}-{protocol}-{version}",
                load_balancing_scheme=SCHEME,
                ip_protocol="TCP",
                port_range=str(port),
                ip_address=address.id,
                target=proxy,
                opts=self._child,
            )


def _short(domain: str) -> str:
    """Return a name for a domain's certificate: Google's names have 63 characters at most, host names 253."""
    return f"{domain.replace('.', '-')[:16].rstrip('-')}-{hashlib.sha256(domain.encode()).hexdigest()[:6]}"
