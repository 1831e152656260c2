# Tenants' code, one sandbox a domain. It has no rights and no way out; when it dies, handlers answer 504 and patches of
# domains with a pre-persistence handler wait for the next instance. Of several instances each would run every domain agent:
# one that is larger, then, where domains have agents.

resource "google_cloud_run_v2_service" "domain_worker" {
  name     = "domain-worker"
  location = var.region
  ingress  = "INGRESS_TRAFFIC_INTERNAL_ONLY"

  template {
    service_account                  = google_service_account.part["domain-worker"].email
    timeout                          = "3600s"
    max_instance_request_concurrency = 250
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      min_instance_count = var.sizes.domain_worker.least
      max_instance_count = var.sizes.domain_worker.most
    }

    vpc_access {
      egress = "ALL_TRAFFIC"

      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.services.id
        tags       = ["domain-worker"]
      }
    }

    containers {
      image = var.image
      args  = ["functions/domain-worker/index.ts"]

      resources {
        cpu_idle          = var.sizes.domain_worker.least == 0
        startup_cpu_boost = true
        limits            = { cpu = var.sizes.domain_worker.cpu, memory = var.sizes.domain_worker.memory }
      }

      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 30

        http_get {
          path = "/v1/health"
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/v1/health"
        }
      }

      dynamic "env" {
        for_each = local.environment["domain-worker"]

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version]
  }
}

resource "google_cloud_run_v2_service_iam_member" "domain_worker" {
  for_each = toset(["api", "gateway", "close-sessions"])

  name     = google_cloud_run_v2_service.domain_worker.name
  location = var.region
  role     = "roles/run.invoker"
  member   = local.member[each.key]
}
