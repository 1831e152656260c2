# As production in shape, smaller in size.
project_id  = "example-staging"
environment = "staging"
host        = "api.staging.example.com"

sizes = {
  state_process = { cpu = "1", memory = "1Gi" }
  api           = { cpu = "1", memory = "1Gi", least = 1, most = 3 }
  gateway       = { cpu = "1", memory = "1Gi", least = 1, most = 2 }
  domain_worker = { cpu = "1", memory = "2Gi", least = 1, most = 1 }
  mirror        = { cpu = "1", memory = "512Mi", most = 2 }
}

database = {
  tier                     = "db-custom-1-3840"
  disk_gib                 = 20
  availability             = "ZONAL"
  connections              = 200
  connections_per_instance = 20
}

issuers      = []
alert_emails = {}
