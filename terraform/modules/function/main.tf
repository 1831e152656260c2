# A function: one target of functions/index.ts, built from source and run with direct access to the network.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

resource "google_cloud_run_v2_service" "this" {
  name                 = var.name
  location             = var.region
  ingress              = var.ingress
  invoker_iam_disabled = var.public

  build_config {
    source_location       = var.source_archive
    function_target       = var.name
    image_uri             = var.image
    service_account       = var.build_account
    environment_variables = { GOOGLE_NODEJS_VERSION = "24.x.x" }
  }

  template {
    service_account                  = var.service_account
    timeout                          = var.timeout
    max_instance_request_concurrency = var.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      min_instance_count = var.size.least
      max_instance_count = var.size.most
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }

    containers {
      image = var.image

      resources {
        cpu_idle          = !var.cpu_always
        startup_cpu_boost = true
        limits            = { cpu = var.size.cpu, memory = var.size.memory }
      }

      # TCP: functions-framework throws on a bare GET to an event function.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 30

        tcp_socket {
          port = 8080
        }
      }

      dynamic "env" {
        for_each = var.environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets

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

  # The build puts the digest that it made in the place of the image.
  lifecycle {
    ignore_changes = [client, client_version, template[0].containers[0].image]
  }
}
