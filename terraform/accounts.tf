# One account a part; none has a key. What each may do stands beside the thing that it may do it with.
#
#   api, gateway       -> state processes, domain worker, directory, uploads, database, secrets, cold storage (reads: which states there are)
#   state-process      -> state processes, cold storage (reads, creates; deletes replaced checkpoints), directory, topic patches
#   mirror             -> state processes, directory, configurations in uploads, database, cold storage (as api)
#   close-sessions     -> what api may, but for bearers: it runs close scripts, and ends reconfigurations that were left
#   retention          -> cold storage (reads; deletes below leaders/ only)
#   domain-worker      -> nothing
#   pubsub-push        -> may call mirror, retention, close-sessions
#   database           -> the login of api, gateway, mirror and close-sessions in Postgres, which impersonate it
#   uploads-signer     -> signs addresses of uploads for api, gateway and close-sessions: an address can do no more than this account

locals {
  parts = {
    api            = "HTTP function: the REST API"
    gateway        = "Published agents and the REST API"
    state-process  = "State processes"
    domain-worker  = "Tenants' code"
    mirror         = "Function: fan-out to Postgres"
    retention      = "Function: deletes what checkpoints cover"
    close-sessions = "Function: closes silent sessions"
    pubsub-push    = "Pub/Sub calling functions"
    database       = "Login of the platform in Postgres"
    uploads-signer = "Signs addresses of uploads and downloads"
  }
  member        = { for name, account in google_service_account.part : name => "serviceAccount:${account.email}" }
  pubsub_member = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_service_account" "part" {
  for_each = local.parts

  account_id   = each.key
  display_name = each.value
}

# Whoever may be impersonated, and by whom: short-lived tokens instead of keys.
resource "google_service_account_iam_member" "impersonation" {
  for_each = {
    api_database     = { account = "database", by = "api" }
    gateway_database = { account = "database", by = "gateway" }
    mirror_database  = { account = "database", by = "mirror" }
    close_database   = { account = "database", by = "close-sessions" }
    api_signer       = { account = "uploads-signer", by = "api" }
    gateway_signer   = { account = "uploads-signer", by = "gateway" }
    close_signer     = { account = "uploads-signer", by = "close-sessions" }
  }

  service_account_id = google_service_account.part[each.value.account].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.member[each.value.by]
}
