"""History of a Node as steps and as a timeline."""
