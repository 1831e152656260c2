# What is counted and who is told. What each alert means and what to do: README, operation.

locals {
  # Messages of the log, as the code writes them.
  counted_messages = {
    fenced = ["fenced: this incarnation is over"]
    storage-errors = [
      "storage put did not succeed",
      "storage read failed",
      "storage list failed",
      "storage fault",
    ]
    not-served = [
      "state is not served: an object cannot be vouched for",
      "slot is not served: an object cannot be vouched for",
      "history is not served: an object cannot be vouched for",
      "the log of the life before cannot be vouched for",
    ]
    fan-out-failed     = ["the fan-out did not take messages; they are handed over again"]
    unexpected         = ["request failed unexpectedly", "a side effect failed unexpectedly"]
    directory-failures = ["directory does not take our record"]
  }

  log_filters = merge(
    { for name, messages in local.counted_messages : name => "resource.type=\"cloud_run_revision\" AND jsonPayload.message=(${join(" OR ", [for message in messages : jsonencode(message)])})" },
    {
      # What the api answers when nobody leads within the deadline, storage does not take a patch, or too much waits.
      unavailable = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"api\" OR \"gateway\") AND httpRequest.status=503"
      # A broken assumption stops the process loudly.
      critical = "resource.type=\"cloud_run_revision\" AND severity>=CRITICAL"
    },
  )

  # More than `above` in `minutes`.
  log_alerts = {
    fenced             = { name = "Fenced: a state process was taken for dead and lived", above = 2, minutes = 10, severity = "WARNING" }
    storage-errors     = { name = "Storage errors", above = 20, minutes = 5, severity = "ERROR" }
    not-served         = { name = "A state, slot or history is not served", above = 0, minutes = 5, severity = "CRITICAL" }
    fan-out-failed     = { name = "Fan-out failed", above = 5, minutes = 10, severity = "ERROR" }
    unexpected         = { name = "Requests failed unexpectedly", above = 0, minutes = 5, severity = "ERROR" }
    directory-failures = { name = "The directory cannot be written", above = 50, minutes = 5, severity = "WARNING" }
    unavailable        = { name = "No leader or no storage: requests end in 503", above = 30, minutes = 2, severity = "CRITICAL" }
    critical           = { name = "A process stopped itself", above = 0, minutes = 5, severity = "CRITICAL" }
  }

  # Metrics of Google Cloud: above or below `threshold` for `minutes`.
  metric_alerts = {
    state-process-missing = {
      name       = "A state process is missing"
      filter     = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/container/instance_count\" AND resource.labels.service_name=monitoring.regex.full_match(\"state-process-.*\")"
      aligner    = "ALIGN_MAX"
      reducer    = "REDUCE_SUM"
      comparison = "COMPARISON_LT"
      threshold  = length(var.state_process_names)
      minutes    = 5
      severity   = "ERROR"
    }
    mirror-lag = {
      name       = "The mirror lags: oldest patch that it does not have (s)"
      filter     = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"mirror\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      aligner    = "ALIGN_MAX"
      reducer    = "REDUCE_MAX"
      comparison = "COMPARISON_GT"
      threshold  = 120
      minutes    = 5
      severity   = "ERROR"
    }
    dead-letters = {
      name       = "Messages were delivered in vain"
      filter     = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"dead-letters\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      aligner    = "ALIGN_MAX"
      reducer    = "REDUCE_MAX"
      comparison = "COMPARISON_GT"
      threshold  = 0
      minutes    = 1
      severity   = "ERROR"
    }
    server-errors = {
      name       = "The api answers 5xx (per s)"
      filter     = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=monitoring.regex.full_match(\"api|gateway\") AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\""
      aligner    = "ALIGN_RATE"
      reducer    = "REDUCE_SUM"
      comparison = "COMPARISON_GT"
      threshold  = 1
      minutes    = 5
      severity   = "ERROR"
    }
    patch-latency = {
      name       = "Patches are slow (p99, s)"
      filter     = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.patch_latency.name}\""
      aligner    = "ALIGN_PERCENTILE_99"
      reducer    = "REDUCE_MAX"
      comparison = "COMPARISON_GT"
      threshold  = 2
      minutes    = 10
      severity   = "WARNING"
    }
    database-connections = {
      name       = "Postgres is short of connections"
      filter     = "resource.type=\"cloudsql_database\" AND metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\""
      aligner    = "ALIGN_MAX"
      reducer    = "REDUCE_SUM"
      comparison = "COMPARISON_GT"
      threshold  = floor(var.database.connections * 0.85)
      minutes    = 5
      severity   = "WARNING"
    }
    memory = {
      name       = "A state process is short of memory"
      filter     = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=monitoring.regex.full_match(\"state-process-.*\") AND metric.type=\"run.googleapis.com/container/memory/utilizations\""
      aligner    = "ALIGN_PERCENTILE_99"
      reducer    = "REDUCE_MAX"
      comparison = "COMPARISON_GT"
      threshold  = 0.85
      minutes    = 10
      severity   = "WARNING"
    }
  }
}

resource "google_logging_metric" "count" {
  for_each = local.log_filters

  name   = each.key
  filter = each.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# Of patches only: the latencies that Cloud Run counts include streams, which last for an hour.
resource "google_logging_metric" "patch_latency" {
  name            = "patch-latency"
  filter          = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"api\" OR \"gateway\") AND httpRequest.requestMethod=\"PATCH\""
  value_extractor = "REGEXP_EXTRACT(httpRequest.latency, \"([0-9.]+)\")"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 40
      growth_factor      = 1.3
      scale              = 0.005
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = local.log_alerts

  display_name          = each.value.name
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = each.value.name

    condition_threshold {
      filter          = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.count[each.key].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"

      aggregations {
        alignment_period     = "${each.value.minutes * 60}s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = "README, what each alert means: ${each.key}"
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "metric" {
  for_each = local.metric_alerts

  display_name          = each.value.name
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = each.value.name

    condition_threshold {
      filter          = each.value.filter
      comparison      = each.value.comparison
      threshold_value = each.value.threshold
      duration        = "${each.value.minutes * 60}s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
    }
  }

  documentation {
    content   = "README, what each alert means: ${each.key}"
    mime_type = "text/markdown"
  }
}

# From outside: whether it can serve.
resource "google_monitoring_uptime_check_config" "ready" {
  display_name = "ready"
  period       = "60s"
  timeout      = "10s"

  http_check {
    path         = "/v1/ready"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project_id, host = var.host }
  }
}
