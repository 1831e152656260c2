variable "project_id" {
  description = "Google Cloud project of the environment."
  type        = string
}

variable "environment" {
  description = "development, staging or production."
  type        = string
}

variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "europe-west1"
}

variable "repository" {
  description = "Connected repository, as projects/P/locations/R/connections/C/repositories/N."
  type        = string
}

variable "branch" {
  description = "A push to this branch publishes to this environment."
  type        = string
}

variable "approvers" {
  description = "Who may approve a deployment, as user:name@example.com."
  type        = set(string)
}

variable "billing_account" {
  description = "Billing account of the project."
  type        = string
}

variable "budget" {
  description = "What a month may cost, in the currency of the billing account."
  type        = number
}
