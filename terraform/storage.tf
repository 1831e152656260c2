# Cold storage: the one thing that the promises rest on. Objects are created once and never change, so versions would
# keep nothing; soft delete keeps what a mistake has deleted. Backups: README, operation.

resource "google_storage_bucket" "cold_storage" {
  name                        = "${var.project_id}-cold-storage"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 1209600
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Creating without the right to delete is append only: GCS asks for it when an object is overwritten.
resource "google_storage_bucket_iam_member" "cold_storage" {
  for_each = {
    state_process_reads   = { role = "roles/storage.objectViewer", part = "state-process" }
    state_process_creates = { role = "roles/storage.objectCreator", part = "state-process" }
    retention_reads       = { role = "roles/storage.objectViewer", part = "retention" }

    # Which states there are, where Postgres has lost it.
    api_reads            = { role = "roles/storage.objectViewer", part = "api" }
    gateway_reads        = { role = "roles/storage.objectViewer", part = "gateway" }
    mirror_reads         = { role = "roles/storage.objectViewer", part = "mirror" }
    close_sessions_reads = { role = "roles/storage.objectViewer", part = "close-sessions" }
  }

  bucket = google_storage_bucket.cold_storage.name
  role   = each.value.role
  member = local.member[each.value.part]
}

resource "google_project_iam_custom_role" "delete_objects" {
  role_id     = "deleteObjects"
  title       = "Deletes objects"
  description = "Nothing but that, and only where a condition says."
  permissions = ["storage.objects.delete"]
}

locals {
  cold_storage_objects = "projects/_/buckets/${google_storage_bucket.cold_storage.name}/objects"
}

# ID files and epoch records: nobody. Logs: retention. Checkpoints that a newer one replaces: the leader.
resource "google_storage_bucket_iam_member" "deletes" {
  for_each = {
    retention     = "resource.name.startsWith(\"${local.cold_storage_objects}/leaders/\")"
    state-process = "resource.name.startsWith(\"${local.cold_storage_objects}/slots/\") && resource.name.extract(\"/checkpoints/{name}\") != \"\""
  }

  bucket = google_storage_bucket.cold_storage.name
  role   = google_project_iam_custom_role.delete_objects.name
  member = local.member[each.key]

  condition {
    title      = "only what it may delete"
    expression = each.value
  }
}

# Files of clients: put and got at signed addresses, past the API.
resource "google_storage_bucket" "uploads" {
  name                        = "${var.project_id}-uploads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 1209600
  }

  # Domains are claimed at run time: the address is the secret, so any origin may use one when none is configured.
  cors {
    origin          = length(var.cors_origins) > 0 ? var.cors_origins : ["*"]
    method          = ["GET", "HEAD", "PUT"]
    response_header = ["Content-Type", "Content-Disposition", "Content-Range", "x-goog-if-generation-match", "x-goog-content-length-range"]
    max_age_seconds = 3600
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 1
    }
  }

  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }

    condition {
      age                   = 90
      matches_storage_class = ["STANDARD"]
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket_iam_member" "uploads" {
  for_each = {
    api_reads       = { role = "roles/storage.objectViewer", part = "api" }
    api_creates     = { role = "roles/storage.objectCreator", part = "api" }
    gateway_reads   = { role = "roles/storage.objectViewer", part = "gateway" }
    gateway_creates = { role = "roles/storage.objectCreator", part = "gateway" }
    signer_reads    = { role = "roles/storage.objectViewer", part = "uploads-signer" }
    signer_creates  = { role = "roles/storage.objectCreator", part = "uploads-signer" }
    mirror_reads    = { role = "roles/storage.objectViewer", part = "mirror" }
    close_reads     = { role = "roles/storage.objectViewer", part = "close-sessions" }
    close_creates   = { role = "roles/storage.objectCreator", part = "close-sessions" }
  }

  bucket = google_storage_bucket.uploads.name
  role   = each.value.role
  member = local.member[each.value.part]
}
