# The directory: members of the ring, registry of domains. A hint for speed: when it is gone, the ring stays as it was known.

resource "google_firestore_database" "directory" {
  name                              = "directory"
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
}

resource "google_firestore_backup_schedule" "directory" {
  database  = google_firestore_database.directory.name
  retention = "1209600s"

  daily_recurrence {}
}

resource "google_project_iam_member" "directory" {
  for_each = {
    api            = "roles/datastore.user"
    gateway        = "roles/datastore.user"
    state-process  = "roles/datastore.user"
    mirror         = "roles/datastore.viewer"
    close-sessions = "roles/datastore.user"
  }

  project = var.project_id
  role    = each.value
  member  = local.member[each.key]

  condition {
    title      = "this database only"
    expression = "resource.name == \"${google_firestore_database.directory.id}\""
  }
}
