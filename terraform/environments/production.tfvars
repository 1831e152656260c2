project_id      = "example-production"
environment     = "production"
host            = "api.example.com"
retention_hours = 168

sizes = {
  state_process = { cpu = "2", memory = "4Gi" }
  api           = { cpu = "2", memory = "2Gi", least = 2, most = 10 }
  gateway       = { cpu = "1", memory = "2Gi", least = 1, most = 4 }
  domain_worker = { cpu = "4", memory = "8Gi", least = 1, most = 1 }
  mirror        = { cpu = "1", memory = "1Gi", most = 4 }
}

database = {
  tier                     = "db-custom-4-15360"
  disk_gib                 = 100
  availability             = "REGIONAL"
  connections              = 800
  connections_per_instance = 40
}

issuers = [
  {
    issuer    = "https://accounts.google.com"
    audiences = ["example.apps.googleusercontent.com"]
    jwksUri   = "https://www.googleapis.com/oauth2/v3/certs"
  },
]

alert_emails = { operators = "operators@example.com" }
