# Functions, built from the source by Google's buildpack, one target of functions/index.ts each. As Cloud Run services: the
# functions API has neither CPU outside requests nor direct access to the network.
#
# When api dies, the load balancer takes another instance; a client repeats with its Idempotency-Key. When mirror, retention
# or close-sessions dies, the message comes back.

module "function" {
  source = "./modules/function"

  for_each = {
    api = {
      size        = var.sizes.api
      ingress     = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
      public      = true
      concurrency = 500
      timeout     = "3600s"
      # Links stay open and the ring is watched between requests.
      cpu_always = true
    }
    mirror = {
      size        = merge(var.sizes.mirror, { least = 0 })
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      public      = false
      concurrency = 50
      timeout     = "60s"
      cpu_always  = false
    }
    retention = {
      size        = { cpu = "1", memory = "1Gi", least = 0, most = 1 }
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      public      = false
      concurrency = 1
      timeout     = "600s"
      cpu_always  = false
    }
    close-sessions = {
      size        = { cpu = "1", memory = "512Mi", least = 0, most = 1 }
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      public      = false
      concurrency = 1
      timeout     = "600s"
      cpu_always  = false
    }
  }

  name            = each.key
  region          = var.region
  source_archive  = var.source_archive
  image           = "${var.region}-docker.pkg.dev/${var.project_id}/state-platform/${each.key}"
  build_account   = "projects/${var.project_id}/serviceAccounts/build@${var.project_id}.iam.gserviceaccount.com"
  service_account = google_service_account.part[each.key].email
  subnetwork      = google_compute_subnetwork.services.id
  network         = google_compute_network.this.id
  size            = each.value.size
  ingress         = each.value.ingress
  public          = each.value.public
  concurrency     = each.value.concurrency
  timeout         = each.value.timeout
  cpu_always      = each.value.cpu_always
  environment     = local.environment[each.key]
  secrets         = local.secrets[each.key]

  depends_on = [google_secret_manager_secret_iam_member.reader]
}
