output "state_bucket" {
  description = "Bucket for `terraform init -backend-config=bucket=...`."
  value       = google_storage_bucket.terraform.name
}

output "repository" {
  description = "Where images go."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}
