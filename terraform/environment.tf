# What each part is told: the settings of shared/settings.ts, and nothing else. PORT is set by Cloud Run. NODE_ENV is read
# by functions-framework, which otherwise shows stack traces.

locals {
  # Known before the services are: so one can be told of another, and a state process of itself.
  address = {
    for name in concat(tolist(var.state_process_names), ["api", "gateway", "domain-worker", "mirror", "retention", "close-sessions"]) :
    name => "https://${name}-${data.google_project.this.number}.${var.region}.run.app"
  }

  # Whoever asks state processes.
  caller = {
    LOG_LEVEL            = var.log_level
    GOOGLE_CLOUD_PROJECT = var.project_id
    FIRESTORE_DATABASE   = google_firestore_database.directory.name
    STATE_PROCESSES      = tostring(length(var.state_process_names))
    LINK_ID_TOKENS       = "true"
  }

  # Whoever writes the tables of domains: also their configurations, and which states there are.
  tables = {
    COLD_STORAGE_BUCKET      = google_storage_bucket.cold_storage.name
    UPLOADS_BUCKET           = google_storage_bucket.uploads.name
    CLOUD_SQL_INSTANCE       = google_sql_database_instance.mirror.connection_name
    CLOUD_SQL_USER           = google_sql_user.platform.name
    DATABASE_NAME            = "postgres"
    MAX_DATABASE_CONNECTIONS = tostring(var.database.connections_per_instance)
  }

  # Whoever runs the request loop, for clients or for the agents of domains.
  loop = {
    DOMAIN_WORKER_URL = local.address["domain-worker"]
    UPLOADS_SIGNER    = google_service_account.part["uploads-signer"].email
    UPLOAD_LIMIT_MIB  = tostring(var.upload_limit_mib)
    PUBLIC_URL        = "https://${var.host}"
    AUTHORIZE_DEFAULT = var.authorize_default
  }

  # Whoever lets clients in.
  door = {
    ADMIN_DOMAIN = var.admin_domain
    CORS_ORIGINS = join(",", var.cors_origins)
    ISSUERS      = jsonencode(var.issuers)
  }

  # A state process also has PROCESS_NAME and ADDRESS, its own.
  environment = {
    state-process = merge(local.caller, {
      HOST                = "0.0.0.0"
      COLD_STORAGE_BUCKET = google_storage_bucket.cold_storage.name
      FAN_OUT_TOPIC       = google_pubsub_topic.patches.name
      GAP_RULE            = var.gap_rule
      LINK_CALLERS        = join(",", [for part in ["state-process", "api", "gateway", "mirror", "close-sessions"] : google_service_account.part[part].email])
    })

    # It cannot fetch keys: Cloud Run has checked the signature of what it lets in.
    domain-worker = {
      HOST           = "0.0.0.0"
      LOG_LEVEL      = var.log_level
      ADDRESS        = local.address["domain-worker"]
      LINK_ID_TOKENS = "true"
      LINK_CALLERS   = join(",", [for part in ["api", "gateway", "close-sessions"] : google_service_account.part[part].email])
      ID_TOKEN_KEYS  = "front"
    }

    gateway        = merge(local.caller, local.tables, local.loop, local.door, { HOST = "0.0.0.0" })
    api            = merge(local.caller, local.tables, local.loop, local.door, { NODE_ENV = "production" })
    mirror         = merge(local.caller, local.tables, { NODE_ENV = "production" })
    close-sessions = merge(local.caller, local.tables, local.loop, { NODE_ENV = "production" })

    retention = {
      NODE_ENV             = "production"
      LOG_LEVEL            = var.log_level
      GOOGLE_CLOUD_PROJECT = var.project_id
      COLD_STORAGE_BUCKET  = google_storage_bucket.cold_storage.name
      RETENTION_HOURS      = tostring(var.retention_hours)
    }
  }

  # From Secret Manager: variable -> secret and version. Keys that never rotate are named by their first version.
  secrets = {
    gateway = {
      BEARER_KEY       = { secret = "bearer-key", version = var.bearer_key_version }
      NAME_KEY         = { secret = "name-key", version = "1" }
      DOMAIN_ROLES_KEY = { secret = "domain-roles-key", version = "1" }
      OPERATOR_TOKEN   = { secret = "operator-token", version = "latest" }
      AGENT_TOKEN_KEY  = { secret = "agent-token-key", version = "latest" }
      AGENT_PROVIDERS  = { secret = "agent-providers", version = "latest" }
    }

    api = {
      BEARER_KEY       = { secret = "bearer-key", version = var.bearer_key_version }
      NAME_KEY         = { secret = "name-key", version = "1" }
      DOMAIN_ROLES_KEY = { secret = "domain-roles-key", version = "1" }
      OPERATOR_TOKEN   = { secret = "operator-token", version = "latest" }
    }

    mirror = {
      DOMAIN_ROLES_KEY = { secret = "domain-roles-key", version = "1" }
    }

    retention = {}

    close-sessions = {
      NAME_KEY         = { secret = "name-key", version = "1" }
      DOMAIN_ROLES_KEY = { secret = "domain-roles-key", version = "1" }
    }
  }
}
