"""Manifests of Antrea issue 5671, packets for them, and a manifest with several kinds of fault."""

from pathlib import Path

SCENARIOS = Path(__file__).resolve().parents[3] / "scenarios"
ISSUE = SCENARIOS / "issue-5671"
NODES, POLICY = (str(ISSUE / "manifests" / name) for name in ("nodes.yaml", "policy.yaml"))
CHANGED = str(SCENARIOS / "issue-5671-changed" / "manifests" / "policy.yaml")
STRANGER = "in=eth0 src=203.0.113.7 dst=192.168.77.1 proto=tcp dport=6443"
CLIENT = "in=eth0 src=10.0.0.9 dst=192.168.77.1 proto=tcp dport=6443"

BAD = """
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: bad}
spec:
  priority: 5
  tier: nowhere
  surprise: 1
  appliedTo: [{nodeSelector: {}}]
  ingress:
  - action: Allow
    ports: [{port: 70000}]
    from: [{ipBlock: {cidr: 10.0.0.300/24}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
---
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: lacking}
"""
