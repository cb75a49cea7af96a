"""What an administrator applies to have an agent on every Node: the account, its rights, and the DaemonSet.

The rights are those to list and watch what rules hang on, and no others. The container may do what netfilter needs and
writes nothing but its log and the locks of the tools.
"""

from adapters.kubernetes.resources import RESOURCES

Document = dict[str, object]

NAME = "nodewall"
_LABELS = {"app.kubernetes.io/name": NAME}
_LOG_FOLDER = "/var/lib/nodewall"
_RBAC = "rbac.authorization.k8s.io"


def manifests(image: str, namespace: str) -> list[Document]:
    """Return the documents, in the order in which they are to be applied."""
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(namespace)},
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": _metadata(), "rules": rights()},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": _metadata(),
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": [account],
        },
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": _metadata(namespace), "spec": _daemon_set(image)},
    ]


def rights() -> list[Document]:
    """Return the rules of a ClusterRole by which a cluster can be recorded."""
    groups: dict[str, list[str]] = {}
    for resource in RESOURCES:
        groups.setdefault(resource.group, []).append(resource.plural)
    return [
        {"apiGroups": [group], "resources": plurals, "verbs": ["list", "watch"]} for group, plurals in groups.items()
    ]


def _metadata(namespace: str = "") -> Document:
    where: Document = {"namespace": namespace} if namespace else {}
    return {"name": NAME, **where, "labels": _LABELS}


def _daemon_set(image: str) -> Document:
    pod: Document = {
        "serviceAccountName": NAME,
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],  # a Node that is not ready has to be guarded too
        "terminationGracePeriodSeconds": 30,
        "containers": [_container(image)],
        "volumes": [
            {"name": "log", "hostPath": {"path": _LOG_FOLDER, "type": "DirectoryOrCreate"}},
            {"name": "run", "hostPath": {"path": "/run/nodewall", "type": "DirectoryOrCreate"}},
            {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
        ],
    }
    return {
        "selector": {"matchLabels": _LABELS},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": {"metadata": {"labels": _LABELS}, "spec": pod},
    }


def _container(image: str) -> Document:
    return {
        "name": "agent",
        "image": image,
        "command": ["nodewall", "-v", "agent", "--kubernetes", "--log", f"{_LOG_FOLDER}/events.db"],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "150Mi"}},
        "volumeMounts": [
            {"name": "log", "mountPath": _LOG_FOLDER},
            {"name": "run", "mountPath": "/run/nodewall"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
        ],
    }
