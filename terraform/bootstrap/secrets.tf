# The secrets; their versions are made by hand once and never pass Terraform: README, setup.

resource "google_secret_manager_secret" "this" {
  for_each = {
    bearer-key       = "signs bearers; rotated by new versions"
    name-key         = "names to ids; never changes, backed up outside"
    domain-roles-key = "roles of domains in Postgres; never changes, backed up outside"
    operator-token   = "bearer of operators"
    agent-token-key  = "RSA key that log-in pages of published agents encrypt for"
    agent-providers  = "OAuth providers of published agents"
  }

  secret_id           = each.key
  annotations         = { purpose = each.value }
  deletion_protection = true
  version_destroy_ttl = "2592000s"

  replication {
    auto {}
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

# The deployment asks GET /v1/cluster whether a state process is back.
resource "google_secret_manager_secret_iam_member" "deploy" {
  secret_id = google_secret_manager_secret.this["operator-token"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.this["deploy"].email}"
}
