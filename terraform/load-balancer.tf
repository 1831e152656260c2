# What the world reaches: https://host. /v1 goes to the api, everything else (published agents) to the gateway.

resource "google_compute_global_address" "public" {
  name = "state-platform"
}

resource "google_compute_managed_ssl_certificate" "this" {
  name = "state-platform"

  managed {
    domains = [var.host]
  }
}

resource "google_compute_ssl_policy" "this" {
  name            = "state-platform"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_security_policy" "this" {
  name        = "state-platform"
  description = "Rate limit of one address"

  rule {
    action      = "throttle"
    priority    = 1000
    description = "More than this of one address: 429"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "All others"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

locals {
  backends = {
    api     = module.function["api"].name
    gateway = google_cloud_run_v2_service.gateway.name
  }
}

resource "google_compute_region_network_endpoint_group" "service" {
  for_each = local.backends

  name                  = each.key
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }
}

resource "google_compute_backend_service" "service" {
  for_each = local.backends

  name                  = each.key
  protocol              = "HTTPS"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.this.id

  backend {
    group = google_compute_region_network_endpoint_group.service[each.key].id
  }

  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

resource "google_compute_url_map" "https" {
  name            = "state-platform"
  default_service = google_compute_backend_service.service["gateway"].id

  host_rule {
    hosts        = [var.host]
    path_matcher = "parts"
  }

  path_matcher {
    name            = "parts"
    default_service = google_compute_backend_service.service["gateway"].id

    path_rule {
      paths   = ["/v1", "/v1/*"]
      service = google_compute_backend_service.service["api"].id
    }
  }
}

resource "google_compute_target_https_proxy" "this" {
  name             = "state-platform"
  url_map          = google_compute_url_map.https.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "https" {
  name                  = "state-platform-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}

resource "google_compute_url_map" "redirect" {
  name = "state-platform-redirect"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "redirect" {
  name    = "state-platform-redirect"
  url_map = google_compute_url_map.redirect.id
}

resource "google_compute_global_forwarding_rule" "redirect" {
  name                  = "state-platform-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.redirect.id
}
