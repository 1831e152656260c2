# build: verifies, builds, scans, pushes, plans; it can read the environment and change nothing of it.
# deploy: applies an approved plan and rolls the state processes; no build but the approved one runs as it.

resource "google_service_account" "this" {
  for_each = {
    build  = "Verifies, builds and plans"
    deploy = "Applies what was approved"
  }

  account_id   = each.key
  display_name = each.value

  depends_on = [google_project_service.this]
}

locals {
  roles = {
    build = [
      "roles/artifactregistry.reader",
      "roles/cloudscheduler.viewer",
      "roles/cloudsql.viewer",
      "roles/compute.viewer",
      "roles/datastore.viewer",
      "roles/dns.reader",
      "roles/iam.roleViewer",
      "roles/iam.securityReviewer",
      "roles/iam.serviceAccountViewer",
      "roles/logging.viewer",
      "roles/logging.logWriter",
      "roles/monitoring.viewer",
      "roles/ondemandscanning.admin",
      "roles/pubsub.viewer",
      "roles/run.viewer",
      "roles/secretmanager.viewer",
      "roles/servicenetworking.networksAdmin",
      "roles/storage.bucketViewer",
    ]
    deploy = [
      "roles/cloudscheduler.admin",
      "roles/cloudsql.admin",
      "roles/compute.loadBalancerAdmin",
      "roles/compute.networkAdmin",
      "roles/compute.securityAdmin",
      "roles/datastore.owner",
      "roles/dns.admin",
      "roles/iam.roleAdmin",
      "roles/iam.serviceAccountAdmin",
      "roles/logging.configWriter",
      "roles/logging.logWriter",
      "roles/monitoring.editor",
      "roles/pubsub.admin",
      "roles/run.admin",
      "roles/servicenetworking.networksAdmin",
      "roles/storage.admin",
    ]
  }
  granted = merge([for account, roles in local.roles : { for role in roles : "${account} ${role}" => { account = account, role = role } }]...)

  # The only roles that deploy may give anybody in the project.
  project_roles = ["roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/datastore.user", "roles/datastore.viewer"]
}

resource "google_project_iam_member" "this" {
  for_each = local.granted

  project = var.project_id
  role    = each.value.role
  member  = "serviceAccount:${google_service_account.this[each.value.account].email}"
}

resource "google_project_iam_member" "deploy_grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = "serviceAccount:${google_service_account.this["deploy"].email}"

  condition {
    title      = "these roles only"
    expression = "api.getAttribute(\"iam.googleapis.com/modifiedGrantsByRole\", []).hasOnly(${jsonencode(local.project_roles)})"
  }
}

# Who reads the secrets is decided by deploy; what is in them, by nobody here.
resource "google_project_iam_custom_role" "secret_policies" {
  role_id     = "secretPolicies"
  title       = "Says who reads which secret"
  permissions = ["secretmanager.secrets.get", "secretmanager.secrets.getIamPolicy", "secretmanager.secrets.setIamPolicy"]
}

resource "google_project_iam_member" "deploy_secret_policies" {
  project = var.project_id
  role    = google_project_iam_custom_role.secret_policies.name
  member  = "serviceAccount:${google_service_account.this["deploy"].email}"
}

# Deploying a service that runs as an account takes the right to act as it.
resource "google_project_iam_member" "deploy_acts_as" {
  project = var.project_id
  role    = "roles/iam.serviceAccountUser"
  member  = "serviceAccount:${google_service_account.this["deploy"].email}"
}

resource "google_project_iam_member" "approver" {
  for_each = var.approvers

  project = var.project_id
  role    = "roles/cloudbuild.builds.approver"
  member  = each.value
}

resource "google_cloudbuild_trigger" "publish" {
  name            = "publish"
  location        = var.region
  description     = "A push to ${var.branch}: verify, build, scan, push, plan; then ask for a deployment"
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.this["build"].id

  repository_event_config {
    repository = var.repository

    push {
      branch = "^${var.branch}$"
    }
  }

  substitutions = {
    _ENVIRONMENT = var.environment
    _REGION      = var.region
  }
}

# Where publish says what it has built and planned. To publish here is all that build can do towards a deployment.
resource "google_pubsub_topic" "deployments" {
  name = "deployments"

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "build_asks" {
  topic  = google_pubsub_topic.deployments.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${google_service_account.this["build"].email}"
}

resource "google_cloudbuild_trigger" "deploy" {
  name            = "deploy"
  location        = var.region
  description     = "Applies the plan of a publish, after approval"
  service_account = google_service_account.this["deploy"].id

  approval_config {
    approval_required = true
  }

  pubsub_config {
    topic = google_pubsub_topic.deployments.id
  }

  source_to_build {
    repository = var.repository
    ref        = "refs/heads/${var.branch}"
    repo_type  = "UNKNOWN"
  }

  git_file_source {
    path       = "terraform/cloudbuild.deploy.yaml"
    repository = var.repository
    revision   = "refs/heads/${var.branch}"
    repo_type  = "UNKNOWN"
  }

  substitutions = {
    _ENVIRONMENT = var.environment
    _REGION      = var.region
    _IMAGE       = "$(body.message.attributes.image)"
    _SOURCE      = "$(body.message.attributes.source)"
    _RELEASE     = "$(body.message.attributes.release)"
  }
}
