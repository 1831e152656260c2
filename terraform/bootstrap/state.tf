# Terraform's own state. It holds no keys: these never pass Terraform.

resource "google_storage_bucket" "terraform" {
  name                        = "${var.project_id}-terraform"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

# Plans that wait for approval.
resource "google_storage_bucket" "plans" {
  name                        = "${var.project_id}-plans"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 30
    }
  }

  depends_on = [google_project_service.this]
}

# Source archives that functions are built from.
resource "google_storage_bucket" "source" {
  name                        = "${var.project_id}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 365
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = {
    build_state    = { bucket = google_storage_bucket.terraform.name, role = "roles/storage.objectViewer", account = "build" }
    build_plans    = { bucket = google_storage_bucket.plans.name, role = "roles/storage.objectCreator", account = "build" }
    build_source   = { bucket = google_storage_bucket.source.name, role = "roles/storage.objectCreator", account = "build" }
    build_reads    = { bucket = google_storage_bucket.source.name, role = "roles/storage.objectViewer", account = "build" }
    deploy_state   = { bucket = google_storage_bucket.terraform.name, role = "roles/storage.objectUser", account = "deploy" }
    deploy_plans   = { bucket = google_storage_bucket.plans.name, role = "roles/storage.objectViewer", account = "deploy" }
    deploy_sources = { bucket = google_storage_bucket.source.name, role = "roles/storage.objectViewer", account = "deploy" }
  }

  bucket = each.value.bucket
  role   = each.value.role
  member = "serviceAccount:${google_service_account.this[each.value.account].email}"
}
