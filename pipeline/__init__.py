"""From a commit to a healthy fleet: the steps of cloudbuild.yaml, on Cloud Build and on a laptop (docs/pipeline.md)."""
