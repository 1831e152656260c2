# Door of published agents (WebSocket, socket.io); the REST API as well. Public behind the load balancer: it checks
# its callers itself.

resource "google_cloud_run_v2_service" "gateway" {
  name                 = "gateway"
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  invoker_iam_disabled = true

  template {
    service_account                  = google_service_account.part["gateway"].email
    timeout                          = "3600s"
    max_instance_request_concurrency = 1000
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    session_affinity                 = true

    scaling {
      min_instance_count = var.sizes.gateway.least
      max_instance_count = var.sizes.gateway.most
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.services.id
      }
    }

    containers {
      image = var.image
      # Thousands of idle connections: a small nursery, so that what they leave behind is not kept for long.
      args = ["--max-semi-space-size=8", "functions/gateway/index.ts"]

      # Links to state processes stay open between requests.
      resources {
        cpu_idle          = false
        startup_cpu_boost = true
        limits            = { cpu = var.sizes.gateway.cpu, memory = var.sizes.gateway.memory }
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
        for_each = local.environment["gateway"]

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets["gateway"]

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version]
  }

  depends_on = [google_secret_manager_secret_iam_member.reader]
}
