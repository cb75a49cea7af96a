"""Builds the manifests that install nodewall: agents on every Node, controllers, and optionally webhooks.

Input: an :class:`Installation` (image, namespace and, for webhooks, a CA certificate). Output: documents for ``nodewall
manifests``, in the order in which to apply them.

Each workload has its own service account with the rights of :mod:`adapters.kubernetes.install.rbac`. The agent's
container has only the capabilities that netfilter needs. Root file systems are read-only.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.kubernetes.api.resources import CRD_GROUP
from adapters.kubernetes.cluster_view import DECLARED
from adapters.kubernetes.install import rbac

ManifestDocument = dict[str, object]

NAME = "nodewall"
LEASE = f"{NAME}-controller"
_LOG_FOLDER = "/var/lib/nodewall"
_RBAC = "rbac.authorization.k8s.io"
_AGENT_PORT, _PAGES_PORT, _WEBHOOK_PORT = 9471, 9472, 9443


@dataclass(frozen=True, slots=True)
class Installation:
    """Image and namespace to install; ``webhook_ca`` is the CA bundle for webhooks, or None to install none."""

    image: str
    namespace: str
    webhook_ca: bytes | None = None

    def documents(self) -> list[ManifestDocument]:
        """Return the documents in the order in which to apply them."""
        agent, controller = _Part(NAME, self), _Part(LEASE, self)
        return [
            *agent.account(rbac.agent()),
            agent.workload("DaemonSet", _ONE_BY_ONE, _on_node(self.image)),
            *controller.account(rbac.controller()),
            *controller.namespaced(rbac.election(LEASE)),
            controller.workload("Deployment", _TWO, _off_node(_controller(self.image))),
            *(self._webhook() if self.webhook_ca is not None else ()),
        ]

    def _webhook(self) -> Sequence[ManifestDocument]:
        part = _Part(f"{NAME}-webhook", self)
        ports = [{"port": 443, "targetPort": _WEBHOOK_PORT}]
        service = {"selector": part.labels, "ports": ports}
        return [
            *part.account(rbac.webhook()),
            part.workload("Deployment", _TWO, _off_node(_webhook(self.image), secret=f"{part.name}-tls")),
            {"apiVersion": "v1", "kind": "Service", "metadata": part.metadata(self.namespace), "spec": service},
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": part.metadata(),
                "webhooks": [self._hook(part.name)],
            },
        ]

    def _hook(self, name: str) -> ManifestDocument:
        service: ManifestDocument = {"name": name, "namespace": self.namespace, "path": "/validate"}
        return {
            "name": f"{name}.{CRD_GROUP}",
            "clientConfig": {
                "service": service,
                "caBundle": base64.b64encode(self.webhook_ca or b"").decode(),
            },
            "rules": [
                {
                    "apiGroups": [CRD_GROUP],
                    "apiVersions": ["*"],
                    "resources": [resource.plural for resource in DECLARED],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }
            ],
            # Agents refuse the same objects, and an unavailable webhook must not block changes of policies.
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }


@dataclass(frozen=True, slots=True)
class _Part:
    """Named workload of nodewall; builds its metadata, account and roles."""

    name: str
    of: Installation

    @property
    def labels(self) -> ManifestDocument:
        return {"app.kubernetes.io/name": self.name}

    def metadata(self, namespace: str = "") -> ManifestDocument:
        where: ManifestDocument = {"namespace": namespace} if namespace else {}
        return {"name": self.name, **where, "labels": {**self.labels, "app.kubernetes.io/part-of": NAME}}

    def account(self, rules: rbac.RbacRules) -> Sequence[ManifestDocument]:
        return [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.metadata(self.of.namespace)},
            *self._bound("ClusterRole", rules, ""),
        ]

    def namespaced(self, rules: rbac.RbacRules) -> Sequence[ManifestDocument]:
        return self._bound("Role", rules, self.of.namespace)

    def _bound(self, kind: str, rules: rbac.RbacRules, namespace: str) -> Sequence[ManifestDocument]:
        account = {"kind": "ServiceAccount", "name": self.name, "namespace": self.of.namespace}
        api = {"apiVersion": f"{_RBAC}/v1", "metadata": self.metadata(namespace)}
        reference = {"apiGroup": _RBAC, "kind": kind, "name": self.name}
        return [
            {"kind": kind, **api, "rules": rules},
            {"kind": f"{kind}Binding", **api, "roleRef": reference, "subjects": [account]},
        ]

    def workload(self, kind: str, spec: ManifestDocument, pod: ManifestDocument) -> ManifestDocument:
        whole: ManifestDocument = {
            "selector": {"matchLabels": self.labels},
            **spec,
            "template": {"metadata": {"labels": self.labels}, "spec": {"serviceAccountName": self.name, **pod}},
        }
        metadata = self.metadata(self.of.namespace)
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": whole}


_ONE_BY_ONE: ManifestDocument = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}
_TWO: ManifestDocument = {"replicas": 2}


def _on_node(image: str) -> ManifestDocument:
    """Return the Pod spec of an agent."""
    return {
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],  # a Node that is not ready needs rules too
        "terminationGracePeriodSeconds": 30,
        "containers": [_agent(image)],
        "volumes": [
            {"name": "log", "hostPath": {"path": _LOG_FOLDER, "type": "DirectoryOrCreate"}},
            {"name": "run", "hostPath": {"path": "/run/nodewall", "type": "DirectoryOrCreate"}},
            {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
        ],
    }


def _agent(image: str) -> ManifestDocument:
    log = f"{_LOG_FOLDER}/events.db"
    listen = str(_AGENT_PORT)
    return {
        "name": "agent",
        "image": image,
        "command": ["nodewall", "-v", "agent", "--kubernetes", "--log", log, "--listen", listen],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "NODEWALL_LOG", "value": log},
        ],
        "securityContext": {**_CONFINED, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}},
        "resources": {"requests": {"cpu": "50m", "memory": "150Mi"}},
        **_probes(_AGENT_PORT, "127.0.0.1"),
        "volumeMounts": [
            {"name": "log", "mountPath": _LOG_FOLDER},
            {"name": "run", "mountPath": "/run/nodewall"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
        ],
    }


def _off_node(container: ManifestDocument, secret: str = "") -> ManifestDocument:
    """Return the Pod spec of a container that needs no access to its Node."""
    pod: ManifestDocument = {
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534},
        "containers": [container],
    }
    if secret:
        pod["volumes"] = [{"name": "tls", "secret": {"secretName": secret}}]
    return pod


def _controller(image: str) -> ManifestDocument:
    return {
        "name": "controller",
        "image": image,
        "command": ["nodewall", "-v", "controller", "--listen", f"*:{_PAGES_PORT}"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "securityContext": {**_CONFINED, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "20m", "memory": "100Mi"}},
        **_probes(_PAGES_PORT),
    }


def _webhook(image: str) -> ManifestDocument:
    files = ["--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key"]
    listen = ["--serve", f"*:{_WEBHOOK_PORT}", "--listen", f"*:{_PAGES_PORT}"]
    return {
        "name": "webhook",
        "image": image,
        "command": ["nodewall", "-v", "webhook", *listen, *files],
        "securityContext": {**_CONFINED, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "20m", "memory": "100Mi"}},
        **_probes(_PAGES_PORT),
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    }


_CONFINED: ManifestDocument = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}


def _probes(port: int, host: str = "") -> ManifestDocument:
    def probe(path: str, period: int) -> ManifestDocument:
        where: ManifestDocument = {"host": host} if host else {}
        return {"httpGet": {**where, "path": path, "port": port}, "periodSeconds": period}

    return {"livenessProbe": probe("/healthz", 30), "readinessProbe": probe("/readyz", 5)}
