# Tells the billing administrators at half, nine tenths and all of it, and when all of it is foreseen.

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = "state platform ${var.environment}"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      units = tostring(var.budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = toset([0.5, 0.9, 1])

    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  depends_on = [google_project_service.this]
}
