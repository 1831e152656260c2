variable "project_id" {
  description = "Google Cloud project of this environment: one project an environment."
  type        = string
}

variable "environment" {
  description = "development, staging or production."
  type        = string

  validation {
    condition     = contains(["development", "staging", "production"], var.environment)
    error_message = "environment is development, staging or production."
  }
}

variable "region" {
  description = "Where everything runs. Cold storage, database and processes belong into one region: a put is on the path of an acknowledgement."
  type        = string
  default     = "europe-west1"
}

variable "host" {
  description = "Public host name of the API. Its DNS record must point to the output `address` before the certificate becomes valid."
  type        = string
}

variable "image" {
  description = "Image of state processes, domain worker and gateway, by digest (repository@sha256:...)."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is named by digest, so that what was scanned is what runs."
  }
}

variable "source_archive" {
  description = "gs:// address of the source that the functions are built from; a new name for each version."
  type        = string
}

variable "state_process_names" {
  description = "Stable names of the state processes: the ring hashes them. Adding or removing one moves a share of the slots."
  type        = set(string)
  default     = ["state-process-0", "state-process-1", "state-process-2"]
}

variable "sizes" {
  description = "CPU, memory and least and most instances of each part; of a state process there is always one."
  type = object({
    state_process = object({ cpu = string, memory = string })
    api           = object({ cpu = string, memory = string, least = number, most = number })
    gateway       = object({ cpu = string, memory = string, least = number, most = number })
    domain_worker = object({ cpu = string, memory = string, least = number, most = number })
    mirror        = object({ cpu = string, memory = string, most = number })
  })
}

variable "database" {
  description = "Cloud SQL: machine, GiB of disk, ZONAL or REGIONAL, connections of the server, connections of one instance of a service."
  type = object({
    tier                     = string
    disk_gib                 = number
    availability             = string
    connections              = number
    connections_per_instance = number
  })
}

variable "cors_origins" {
  description = "Origins that browsers may call from, besides those of claimed domains."
  type        = list(string)
  default     = []
}

variable "issuers" {
  description = "OIDC issuers of users' ID tokens."
  type = list(object({
    issuer    = string
    audiences = list(string)
    jwksUri   = string
  }))
  default = []
}

variable "admin_domain" {
  description = "The domain that may be used without a claim, to claim others from; empty: there is none."
  type        = string
  default     = ""
}

variable "authorize_default" {
  description = "allow or deny: whether others may read a user's states where the domain configured nothing."
  type        = string
  default     = "deny"
}

variable "gap_rule" {
  description = "refuse or accept: what happens to a state with missing interactions."
  type        = string
  default     = "refuse"
}

variable "retention_hours" {
  description = "How long log objects that checkpoints cover are kept. Longer than the alert on a failed retention takes to be seen."
  type        = number
  default     = 24
}

variable "upload_limit_mib" {
  description = "Largest file that can be uploaded."
  type        = number
  default     = 100
}

variable "log_level" {
  description = "debug, info, warn or error."
  type        = string
  default     = "info"
}

variable "bearer_key_version" {
  description = "Version of the secret bearer-key that signs and verifies bearers."
  type        = string
  default     = "1"
}

variable "requests_per_minute" {
  description = "Requests of one address in a minute, past which the load balancer answers 429."
  type        = number
  default     = 6000
}

variable "alert_emails" {
  description = "Who is told of alerts, by a short name each."
  type        = map(string)
  default     = {}
}
