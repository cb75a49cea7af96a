"""Real API server: Debian's etcd and a kube-apiserver, on loopback, with a token file and RBAC."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import yaml

ROOT = Path(__file__).parents[3]
TOKENS = {"admin": "system:masters", "nobody": ""}
"""User -> group; the token of each user is the user's name."""

Json = dict[str, object]


def lacking() -> str:
    """Return the reason why a real API server cannot run on this machine, or an empty string."""
    if os.geteuid() != 0 and not program().exists():
        return "not root, and there is no kube-apiserver: run .ci/kube-apiserver as root, or set KUBEBUILDER_ASSETS"
    return "" if shutil.which("etcd") else "etcd is not here: Debian's package etcd-server has it"


def program() -> Path:
    """Return the path of the kube-apiserver, which may not be built yet."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return Path(assets) / "kube-apiserver"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "nodewall" / "kube-apiserver-1.20.2" / "kube-apiserver"


def built() -> Path:
    """Return the path of a kube-apiserver; build it first if needed."""
    done = subprocess.run([str(ROOT / ".ci" / "kube-apiserver")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(done.stdout.strip())


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class ApiServer:
    """API server with its files in a folder, and its own etcd; both can be stopped and started again."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._program = server
        self._ports = {name: free_port() for name in ("etcd", "peer", "api")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._accounts: dict[str, str] = {}
        self.client = httpx2.Client(verify=False, timeout=10)
        tokens = "\n".join(f"{name},{name},{name}{f',{group}' if group else ''}" for name, group in TOKENS.items())
        (folder / "tokens.csv").write_text(f"{tokens}\n")
        key = ["openssl", "genrsa", "-out", str(folder / "accounts.key"), "2048"]
        subprocess.run(key, check=True, capture_output=True)

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"https://127.0.0.1:{self._ports['api']}"

    def start(self) -> None:
        """Start the processes that do not run, and wait until the server answers."""
        etcd, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        if "etcd" not in self._processes:
            self._begin(
                "etcd",
                [
                    *("etcd", "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", etcd),
                    *("--advertise-client-urls", etcd, "--listen-peer-urls", peer, "--unsafe-no-fsync"),
                    *("--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
                ],
            )
        if "api" not in self._processes:
            self._begin("api", self._words(etcd))
        self._answers()

    def _words(self, etcd: str) -> Sequence[str]:
        key = str(self.folder / "accounts.key")
        flags = {
            "etcd-servers": etcd,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": str(self._ports["api"]),
            "cert-dir": str(self.folder / "certificates"),
            "token-auth-file": str(self.folder / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://localhost",
            "service-account-signing-key-file": key,
            "service-account-key-file": key,
            "service-cluster-ip-range": "10.96.0.0/24",
            "disable-admission-plugins": "ServiceAccount,TaintNodesByCondition",
        }
        return [str(self._program), *(f"--{name}={value}" for name, value in flags.items())]

    def _begin(self, name: str, words: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)

    def _answers(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            process = self._processes["api"]
            if process.poll() is not None:
                break
            try:
                self.ask("GET", "/readyz")
            except httpx2.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / "api.log").read_text()[-3000:])

    def stop(self, *names: str) -> None:
        """Kill the API server, or the named processes."""
        for name in names or ("api",):
            process = self._processes.pop(name, None)
            if process is not None:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Kill both processes, and close the client."""
        self.stop("api", "etcd")
        self.client.close()

    def ask(self, method: str, path: str, body: object = None, *, user: str = "admin") -> httpx2.Response:
        """Send a request as a user and return the response; raise ``HTTPStatusError`` for an error status."""
        kinds = {"PATCH": "application/merge-patch+json", "APPLY": "application/apply-patch+yaml"}
        headers = {"Authorization": f"Bearer {user}", "Content-Type": kinds.get(method, "application/json")}
        content, verb = None if body is None else json.dumps(body), "PATCH" if method == "APPLY" else method
        return self.client.request(verb, f"{self.url}{path}", content=content, headers=headers).raise_for_status()

    def etcd(self, path: str, body: object) -> httpx2.Response:
        """Send a request to etcd, and return the response."""
        return self.client.post(f"http://127.0.0.1:{self._ports['etcd']}{path}", json=body).raise_for_status()

    def apply(self, collection: str, document: Mapping[str, object]) -> None:
        """Apply a document by server-side apply."""
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        self.ask("APPLY", f"{collection}/{metadata['name']}?fieldManager=test&force=true", dict(document))

    def account(self, name: str) -> None:
        """Make a service account of kube-system usable as a user of its name, with a token from the server."""
        path = f"/api/v1/namespaces/kube-system/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86400},
        }
        self._accounts[name] = self.ask("POST", path, request).json()["status"]["token"]

    def kubeconfig(self, user: str, url: str = "") -> str:
        """Write a user's kubeconfig for this server, or for a proxy at ``url``, and return its path."""
        certificate = self.folder / "certificates" / "apiserver.crt"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": url or self.url, "certificate-authority": str(certificate)}}
            ],
            "users": [{"name": "test", "user": {"token": self._accounts.get(user, user)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path = self.folder / f"{user}{'.proxied' if url else ''}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return str(path)
