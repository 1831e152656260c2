# What runs on a schedule. A message that is sent twice does no harm: both functions may run twice at once.

resource "google_cloud_scheduler_job" "this" {
  for_each = {
    retention      = { schedule = "17 * * * *", topic = google_pubsub_topic.retention.id }
    close-sessions = { schedule = "*/10 * * * *", topic = google_pubsub_topic.close_sessions.id }
  }

  name      = each.key
  region    = var.region
  schedule  = each.value.schedule
  time_zone = "Etc/UTC"

  # Not empty: functions-framework fails on a message without data.
  pubsub_target {
    topic_name = each.value.topic
    data       = base64encode(jsonencode({ job = each.key }))
  }

  retry_config {
    retry_count = 3
  }
}
