"""Installation of nodewall's definitions and rights on a real API server."""

from adapters.kubernetes.install.crds import crds
from adapters.kubernetes.install.install_manifests import Installation
from tests.support.kubernetes.api_server import ApiServer

RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
SYSTEM = "namespaces/kube-system"
COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ServiceAccount": f"/api/v1/{SYSTEM}/serviceaccounts",
    "ClusterRole": f"{RIGHTS}/clusterroles",
    "ClusterRoleBinding": f"{RIGHTS}/clusterrolebindings",
    "Role": f"{RIGHTS}/{SYSTEM}/roles",
    "RoleBinding": f"{RIGHTS}/{SYSTEM}/rolebindings",
}
"""Kind -> path of its collection; other kinds of the installation are not applied."""


def prepare(server: ApiServer) -> None:
    """Install definitions, accounts and rights as an administrator does, and make the accounts usable as users."""
    installation = Installation("nodewall:0.1.0", "kube-system", b"a certificate")
    for document in (*crds(), *installation.documents()):
        if path := COLLECTIONS.get(str(document["kind"])):
            server.apply(path, document)
    for part in ("nodewall", "nodewall-controller", "nodewall-webhook"):
        server.account(part)
