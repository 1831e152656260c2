terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # Which bucket says `terraform init -backend-config=...`: one made by bootstrap/, one a project.
  backend "gcs" {
    prefix = "environment"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  default_labels = { environment = var.environment }
}

data "google_project" "this" {}
