"""Answers an AdmissionReview with the checks of :mod:`engine.state.admission`.

Input: the request of a review and the cluster state. Output: the response document, with every objection.
Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/.
"""

from collections.abc import Sequence
from http import HTTPStatus

from adapters.kubernetes.api.resources import BY_KIND, KubernetesObject, mapping, read, text_of
from engine.errors import Fault
from engine.state.admission import InvalidObject, SubmitMode, admit
from engine.state.fold import ClusterState

_SHOWN = 20
"""Faults that are told."""


def objections(request: KubernetesObject, state: ClusterState) -> Sequence[Fault]:
    """Return what speaks against a request in a state of the cluster, as far as that is known."""
    kind = text_of(mapping(request.get("kind")).get("kind"))
    new, old = mapping(request.get("object")), mapping(request.get("oldObject"))
    if kind not in BY_KIND or not _matters(new, old):
        return ()
    deleting = request.get("operation") == "DELETE"
    item = read(BY_KIND[kind], old if deleting else new)
    if isinstance(item, InvalidObject):
        return () if deleting else item.faults
    return admit(state, [(item, None)], SubmitMode.DELETE if deleting else SubmitMode.DECLARE).faults


def _matters(new: KubernetesObject, old: KubernetesObject) -> bool:
    """Return whether rules hang on what changes: not so for an object on its way out, or for labels of one."""
    return not mapping(new.get("metadata")).get("deletionTimestamp") and (not new or new.get("spec") != old.get("spec"))


def answer(request: KubernetesObject, faults: Sequence[Fault]) -> KubernetesObject:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, object] = {"uid": text_of(request.get("uid")), "allowed": not faults}
    if faults:
        words = [str(fault) for fault in faults[:_SHOWN]]
        if len(faults) > _SHOWN:
            words.append(f"{len(faults) - _SHOWN} more")
        # Without a reason, as kubectl shows of an Invalid one not the message but details.
        response["status"] = {"code": HTTPStatus.UNPROCESSABLE_ENTITY.value, "message": "; ".join(words)}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def request_in(review: object) -> KubernetesObject | None:
    """Return the request of an AdmissionReview, None where it is none."""
    found = mapping(mapping(review).get("request"))
    return found or None
