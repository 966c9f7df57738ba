"""The way in: HTTP or HTTPS at the global addresses, and how requests reach the machines.

Everything is of the scheme EXTERNAL_MANAGED; mixed schemes are refused only half-way through a deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp

from infra import container
from infra.names import short
from infra.settings import Settings

SCHEME = "EXTERNAL_MANAGED"
# Groups have 1,000 machines at most in this program.
_MORE_HOSTS_THAN_THERE_CAN_BE = 1_000_000


class Balancer(pulumi.ComponentResource):
    """The balancer, from the forwarding rules to the backend service."""

    def __init__(
        self,
        settings: Settings,
        *,
        port_name: str,
        groups: Sequence[pulumi.Input[str]],
        policy: pulumi.Input[str],
        addresses: Mapping[str, pulumi.Input[str]],
        certificate_map: pulumi.Input[str] | None,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Register it.

        Args:
            settings: the stack's.
            port_name: the groups' name of the machines' port.
            groups: addresses of the groups of machines.
            policy: id of the security policy.
            addresses: ids of the addresses to listen at, by IP version.
            certificate_map: the certificates that DNS records prove, None for the balancer's own kind.
            after: what must be there before.
        """
        super().__init__("classifier:infra:Balancer", settings.name)
        self._settings = settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._root = pulumi.ResourceOptions(parent=self, depends_on=after)
        self._addresses = addresses
        self.backend = self._backend_service(port_name, groups, policy)
        self.url_map = self._url_map()
        secure = self._forward("https", 443, self._https_proxy(certificate_map)) if settings.https else []
        proxy = self._redirect_proxy() if settings.https and settings.redirect_http else self._http_proxy()
        # HTTP leads to HTTPS only once that answers.
        self._forward("http", 80, proxy, after=secure)
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
                # 502, 503 and 504 only, which no client can bring about: an overloaded machine answers 429 and stays.
                consecutive_gateway_failure=5,
                enforcing_consecutive_gateway_failure=100,
                # Ejection by the rate of success is on by default, and the provider drops the zero that would turn it
                # off (TFP resource_compute_backend_service.go: IsEmptyValue): it needs more hosts than there can be.
                success_rate_minimum_hosts=_MORE_HOSTS_THAN_THERE_CAN_BE,
                interval=gcp.compute.BackendServiceOutlierDetectionIntervalArgs(seconds=5),
                base_ejection_time=gcp.compute.BackendServiceOutlierDetectionBaseEjectionTimeArgs(seconds=30),
                max_ejection_percent=50,
            ),
            log_config=gcp.compute.BackendServiceLogConfigArgs(
                enable=settings.log_sample_percent > 0,
                sample_rate=settings.log_sample_percent / 100 if settings.log_sample_percent else None,
            ),
            custom_response_headers=["Strict-Transport-Security: max-age=31536000"] if settings.https else None,
            iap=self._iap(),
            opts=self._child,
        )

    def _iap(self) -> gcp.compute.BackendServiceIapArgs:
        settings = self._settings
        if not settings.iap_client_id:
            # Said also where it is off: the provider keeps what was on when nothing is said (google#19596).
            return gcp.compute.BackendServiceIapArgs(enabled=bool(settings.iap_members))
        return gcp.compute.BackendServiceIapArgs(
            enabled=True,
            oauth2_client_id=settings.iap_client_id,
            oauth2_client_secret=pulumi.Output.secret(settings.iap_client_secret),
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

    def _http_proxy(self) -> pulumi.Output[str]:
        return gcp.compute.TargetHttpProxy(self._settings.name, url_map=self.url_map.id, opts=self._child).id

    def _https_proxy(self, certificate_map: pulumi.Input[str] | None) -> pulumi.Output[str]:
        settings = self._settings
        tls = gcp.compute.SSLPolicy(settings.name, profile="MODERN", min_tls_version="TLS_1_2", opts=self._root)
        # Another proxy for another kind of certificates: the provider would take the ones away before it sets the
        # others, which Google refuses (412, terraform-provider-google#12513). The rules then change over to it.
        return gcp.compute.TargetHttpsProxy(
            f"{settings.name}-by-dns" if certificate_map is not None else settings.name,
            url_map=self.url_map.id,
            # A map takes the place of certificates that are named here.
            certificate_map=certificate_map,
            ssl_certificates=None if certificate_map is not None else self._own_certificates(),
            ssl_policy=tls.id,
            opts=self._child,
        ).id

    def _own_certificates(self) -> list[pulumi.Output[str]]:
        # One certificate for each domain: a new domain adds one, and the others go on serving.
        return [
            gcp.compute.ManagedSslCertificate(
                f"{self._settings.name}-{short(domain)}",
                managed=gcp.compute.ManagedSslCertificateManagedArgs(domains=[domain]),
                opts=self._root,
            ).id
            for domain in self._settings.domains
        ]

    def _redirect_proxy(self) -> pulumi.Output[str]:
        redirect = gcp.compute.URLMap(
            f"{self._settings.name}-to-https",
            default_url_redirect=gcp.compute.URLMapDefaultUrlRedirectArgs(
                https_redirect=True, strip_query=False, redirect_response_code="MOVED_PERMANENTLY_DEFAULT"
            ),
            opts=self._root,
        )
        return gcp.compute.TargetHttpProxy(f"{self._settings.name}-to-https", url_map=redirect.id, opts=self._child).id

    def _forward(
        self, protocol: str, port: int, proxy: pulumi.Output[str], after: Sequence[pulumi.Resource] = ()
    ) -> list[pulumi.Resource]:
        return [
            gcp.compute.GlobalForwardingRule(
                f"{self._settings.name}-{protocol}-{version}",
                load_balancing_scheme=SCHEME,
                ip_protocol="TCP",
                port_range=str(port),
                ip_address=address,
                target=proxy,
                opts=pulumi.ResourceOptions(parent=self, depends_on=after),
            )
            for version, address in self._addresses.items()
        ]
