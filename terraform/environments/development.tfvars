# Small: one state process, a shared-core database; about 90 USD a month idle.
project_id          = "example-development"
environment         = "development"
host                = "api.development.example.com"
state_process_names = ["state-process-0"]
authorize_default   = "deny"
log_level           = "debug"

sizes = {
  state_process = { cpu = "1", memory = "512Mi" }
  api           = { cpu = "1", memory = "512Mi", least = 0, most = 2 }
  gateway       = { cpu = "1", memory = "512Mi", least = 0, most = 1 }
  domain_worker = { cpu = "1", memory = "1Gi", least = 0, most = 1 }
  mirror        = { cpu = "1", memory = "512Mi", most = 1 }
}

database = {
  tier                     = "db-f1-micro"
  disk_gib                 = 10
  availability             = "ZONAL"
  connections              = 60
  connections_per_instance = 8
}

cors_origins = ["http://localhost:5173"]
issuers      = []
alert_emails = {}
