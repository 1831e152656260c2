resource "google_artifact_registry_repository" "images" {
  repository_id          = "state-platform"
  location               = var.region
  format                 = "DOCKER"
  description            = "Images of services and functions"
  cleanup_policy_dry_run = false

  docker_config {
    immutable_tags = false
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # Enough to roll back to.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = 30
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "this" {
  for_each = {
    build  = "roles/artifactregistry.writer"
    deploy = "roles/artifactregistry.reader"
  }

  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = each.value
  member     = "serviceAccount:${google_service_account.this[each.key].email}"
}
