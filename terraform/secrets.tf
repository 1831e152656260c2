# Keys are made by hand once (README, setup) and never pass Terraform; bootstrap/ makes the secrets that hold them.
# Here: who may read which.
#
#   bearer-key         signs bearers; rotated by a new version, named by bearer_key_version
#   name-key           names -> ids; never changes: names would lead elsewhere
#   domain-roles-key   names and passwords of domains' roles in Postgres; never changes
#   operator-token     bearer of operators
#   agent-token-key    RSA key that log-in pages of published agents encrypt for
#   agent-providers    their OAuth providers, with client secrets; [] where there are none

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = {
    api_bearer       = { secret = "bearer-key", part = "api" }
    api_name         = { secret = "name-key", part = "api" }
    api_roles        = { secret = "domain-roles-key", part = "api" }
    api_operator     = { secret = "operator-token", part = "api" }
    gateway_bearer   = { secret = "bearer-key", part = "gateway" }
    gateway_name     = { secret = "name-key", part = "gateway" }
    gateway_roles    = { secret = "domain-roles-key", part = "gateway" }
    gateway_operator = { secret = "operator-token", part = "gateway" }
    gateway_agents   = { secret = "agent-token-key", part = "gateway" }
    gateway_logins   = { secret = "agent-providers", part = "gateway" }
    mirror_roles     = { secret = "domain-roles-key", part = "mirror" }
    close_name       = { secret = "name-key", part = "close-sessions" }
    close_roles      = { secret = "domain-roles-key", part = "close-sessions" }
  }

  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = local.member[each.value.part]
}
