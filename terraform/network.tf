# One network. Services reach each other and Cloud SQL through it; the internet they reach directly, not through it.

resource "google_compute_network" "this" {
  name                    = "state-platform"
  auto_create_subnetworks = false
}

# Direct VPC egress takes addresses for each instance, and some more while revisions change.
resource "google_compute_subnetwork" "services" {
  name                     = "services"
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = "10.8.0.0/22"
  private_ip_google_access = true
}

# Internal ingress means: from this network. Names of Cloud Run lead to Google's private addresses here, which count as
# private ranges, so that calls between services take the network and need no NAT.
resource "google_dns_managed_zone" "run" {
  name        = "run-app"
  dns_name    = "run.app."
  description = "Cloud Run over private Google access"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "run" {
  for_each = toset(["run.app.", "*.run.app."])

  managed_zone = google_dns_managed_zone.run.name
  name         = each.value
  type         = "A"
  ttl          = 300
  rrdatas      = ["199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11"]
}

# Tenants' code runs in the domain worker: it answers on links that others open, and reaches nothing by itself.
resource "google_compute_firewall" "domain_worker" {
  name               = "domain-worker-reaches-nothing"
  network            = google_compute_network.this.id
  direction          = "EGRESS"
  destination_ranges = ["0.0.0.0/0"]
  target_tags        = ["domain-worker"]

  deny {
    protocol = "all"
  }
}

resource "google_compute_global_address" "services" {
  name          = "private-services"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "this" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}
