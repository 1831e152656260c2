variable "name" {
  description = "Name of the service, and of the function target."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "source_archive" {
  description = "gs:// address of the source."
  type        = string
}

variable "image" {
  description = "Where the built image goes."
  type        = string
}

variable "build_account" {
  description = "Full name of the account that builds it."
  type        = string
}

variable "service_account" {
  description = "Email of the account that it runs as."
  type        = string
}

variable "network" {
  description = "Network of its direct egress."
  type        = string
}

variable "subnetwork" {
  description = "Subnetwork of its direct egress."
  type        = string
}

variable "size" {
  description = "CPU, memory, least and most instances."
  type        = object({ cpu = string, memory = string, least = number, most = number })
}

variable "ingress" {
  description = "Who may reach it at all."
  type        = string
}

variable "public" {
  description = "Whether it is called without IAM: then it checks its callers itself."
  type        = bool
}

variable "concurrency" {
  description = "Requests at once of one instance."
  type        = number
}

variable "timeout" {
  description = "Longest request, as 60s."
  type        = string
}

variable "cpu_always" {
  description = "Whether it has CPU outside requests."
  type        = bool
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "secrets" {
  description = "Environment variables from Secret Manager."
  type        = map(object({ secret = string, version = string }))
}
