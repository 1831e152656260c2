locals {
  charts = {
    "Requests/s by status"          = { filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"api\" AND metric.type=\"run.googleapis.com/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.labels.response_code_class"] }
    "Patches, p99 (s)"              = { filter = local.metric_alerts.patch-latency.filter, aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = [] }
    "Instances"                     = { filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/container/instance_count\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.labels.service_name"] }
    "CPU"                           = { filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/container/cpu/utilizations\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = ["resource.labels.service_name"] }
    "Memory"                        = { filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/container/memory/utilizations\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = ["resource.labels.service_name"] }
    "Operations of cold storage/s"  = { filter = "resource.type=\"gcs_bucket\" AND resource.labels.bucket_name=\"${google_storage_bucket.cold_storage.name}\" AND metric.type=\"storage.googleapis.com/api/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.labels.method"] }
    "Oldest patch not mirrored (s)" = { filter = local.metric_alerts.mirror-lag.filter, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] }
    "Connections of Postgres"       = { filter = local.metric_alerts.database-connections.filter, aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = [] }
    "Counted in logs"               = { filter = "resource.type=\"cloud_run_revision\" AND metric.type=monitoring.regex.full_match(\"logging.googleapis.com/user/(${join("|", keys(local.log_filters))})\")", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.type"] }
  }
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "State platform"
    gridLayout = {
      columns = 3
      widgets = [
        for title, chart in local.charts : {
          title = title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = {
                    alignmentPeriod    = "60s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                    groupByFields      = chart.by
                  }
                }
              }
            }]
          }
        }
      ]
    }
  })
}
