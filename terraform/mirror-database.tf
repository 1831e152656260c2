# The mirror: made again from cold storage at any time, and yet what queries and authorization of configured domains need.

resource "random_id" "database" {
  byte_length = 2
}

resource "google_sql_database_instance" "mirror" {
  # A name cannot be used again for a week.
  name                = "mirror-${random_id.database.hex}"
  region              = var.region
  database_version    = "POSTGRES_18"
  deletion_protection = true

  settings {
    tier                        = var.database.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.database.availability
    disk_size                   = var.database.disk_gib
    disk_type                   = "PD_SSD"
    disk_autoresize             = true
    deletion_protection_enabled = true
    connector_enforcement       = "REQUIRED"

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.this.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "03:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 14
      }
    }

    maintenance_window {
      day          = 7
      hour         = 4
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    # Tenants' roles have bounds of their own; these hold for whoever forgets one.
    dynamic "database_flags" {
      for_each = {
        "cloudsql.iam_authentication"         = "on"
        "max_connections"                     = tostring(var.database.connections)
        "idle_in_transaction_session_timeout" = "60000"
        "temp_file_limit"                     = "1048576"
        "log_min_duration_statement"          = "1000"
      }

      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    prevent_destroy = true

    # Disks grow by themselves.
    ignore_changes = [settings[0].disk_size]

    precondition {
      condition     = (var.sizes.api.most + var.sizes.gateway.most + var.sizes.mirror.most + 1) * var.database.connections_per_instance < var.database.connections - 10
      error_message = "Instances x connections_per_instance must stay below the server's connections, with 10 kept for maintenance."
    }
  }

  depends_on = [google_service_networking_connection.this]
}

# The platform's role. It needs CREATEDB and CREATEROLE, given once by hand: README, setup.
resource "google_sql_user" "platform" {
  instance = google_sql_database_instance.mirror.name
  name     = trimsuffix(google_service_account.part["database"].email, ".gserviceaccount.com")
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

resource "google_project_iam_member" "database" {
  for_each = toset(["roles/cloudsql.client", "roles/cloudsql.instanceUser"])

  project = var.project_id
  role    = each.value
  member  = local.member["database"]
}
