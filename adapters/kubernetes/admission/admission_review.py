"""Answers the AdmissionReview requests of an API server by the checks of :mod:`engine.state.admission`.

Input: the request of a review (the object before and after a change) and the cluster state. Output: the faults of the
object, and the AdmissionReview document that admits the object or refuses it with these faults. A change outside the
spec is always admitted, because rules do not depend on it.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/.
"""

from collections.abc import Sequence
from http import HTTPStatus

from adapters.kubernetes.api.resources import BY_KIND, KubernetesObject, mapping, read, text_of
from engine.errors import Fault
from engine.state.admission import InvalidObject, SubmitMode, admit
from engine.state.fold import ClusterState

_SHOWN = 20
"""Largest number of faults in an answer."""


def faults_of_request(request: KubernetesObject, state: ClusterState) -> Sequence[Fault]:
    """Return the faults of a request in a known state of the cluster; nothing if the request is admitted."""
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
    """Return True if rules depend on the change; an object in deletion or a change of metadata does not matter."""
    return not mapping(new.get("metadata")).get("deletionTimestamp") and (not new or new.get("spec") != old.get("spec"))


def answer(request: KubernetesObject, faults: Sequence[Fault]) -> KubernetesObject:
    """Return the AdmissionReview that answers a request."""
    response: dict[str, object] = {"uid": text_of(request.get("uid")), "allowed": not faults}
    if faults:
        words = [str(fault) for fault in faults[:_SHOWN]]
        if len(faults) > _SHOWN:
            words.append(f"{len(faults) - _SHOWN} more")
        # No reason is set: for the reason Invalid, kubectl shows details instead of the message.
        response["status"] = {"code": HTTPStatus.UNPROCESSABLE_ENTITY.value, "message": "; ".join(words)}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def request_in(review: object) -> KubernetesObject | None:
    """Return the request of an AdmissionReview; None if the document is not one."""
    found = mapping(mapping(review).get("request"))
    return found or None
