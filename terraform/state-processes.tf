# State processes: one service of one instance each, since instances of one service cannot be addressed. When one dies, its
# slots are led by other owners within seconds; Cloud Run starts it again under a new incarnation.

resource "google_cloud_run_v2_service" "state_process" {
  for_each = var.state_process_names

  name     = each.key
  location = var.region
  ingress  = "INGRESS_TRAFFIC_INTERNAL_ONLY"

  # Manual, so that a rolling deploy can stop one (0) before its successor starts (1): two lives of one name at once
  # cost a fencing.
  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = 1
  }

  template {
    service_account                  = google_service_account.part["state-process"].email
    timeout                          = "3600s"
    max_instance_request_concurrency = 1000
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      min_instance_count = 1
      max_instance_count = 1
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
      args  = ["functions/state-process/index.ts"]

      # Heartbeats and checkpoints run outside requests.
      resources {
        cpu_idle          = false
        startup_cpu_boost = true
        limits            = { cpu = var.sizes.state_process.cpu, memory = var.sizes.state_process.memory }
      }

      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 60

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
        for_each = merge(local.environment["state-process"], { PROCESS_NAME = each.key, ADDRESS = local.address[each.key] })

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  # The pipeline gives them a new image one by one (terraform/cloudbuild.deploy.yaml).
  lifecycle {
    ignore_changes = [client, client_version, scaling, template[0].containers[0].image]
  }
}

locals {
  # Every state process with each of its callers.
  state_process_callers = {
    for pair in setproduct(var.state_process_names, ["state-process", "api", "gateway", "mirror", "close-sessions"]) :
    "${pair[0]}/${pair[1]}" => { service = pair[0], part = pair[1] }
  }
}

resource "google_cloud_run_v2_service_iam_member" "state_process" {
  for_each = local.state_process_callers

  name     = google_cloud_run_v2_service.state_process[each.value.service].name
  location = var.region
  role     = "roles/run.invoker"
  member   = local.member[each.value.part]
}
