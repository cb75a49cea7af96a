"""Admission webhook: answers AdmissionReview requests over HTTPS."""
