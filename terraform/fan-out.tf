# Fan-out of stored interactions. Ordering key: the state's ID; attributes: domain, id, ii, active_type. At least once:
# subscribers drop what they have by (id, ii). Without schema: a patch is any JSON, and its codec has a version.

resource "google_pubsub_topic" "patches" {
  name                       = "patches"
  message_retention_duration = "604800s"

  # Ordering holds within one region.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic" "retention" {
  name = "retention"
}

resource "google_pubsub_topic" "close_sessions" {
  name = "close-sessions"
}

# What was delivered in vain: kept for 14 days, with an alert.
resource "google_pubsub_topic" "dead_letters" {
  name = "dead-letters"
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "1209600s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = {
    patches      = { topic = google_pubsub_topic.patches.id, member = local.member["state-process"] }
    dead_letters = { topic = google_pubsub_topic.dead_letters.id, member = local.pubsub_member }
  }

  topic  = each.value.topic
  role   = "roles/pubsub.publisher"
  member = each.value.member
}

locals {
  # Event functions: what they listen to, and how long one message may take (seconds; push allows 600).
  deliveries = {
    mirror         = { topic = google_pubsub_topic.patches.id, ordered = true, deadline = 60, attempts = 50 }
    retention      = { topic = google_pubsub_topic.retention.id, ordered = false, deadline = 600, attempts = 5 }
    close-sessions = { topic = google_pubsub_topic.close_sessions.id, ordered = false, deadline = 600, attempts = 5 }
  }
}

# A function that throws gets the message again; the same key's later messages wait with it.
resource "google_pubsub_subscription" "function" {
  for_each = local.deliveries

  name                       = each.key
  topic                      = each.value.topic
  ack_deadline_seconds       = each.value.deadline
  enable_message_ordering    = each.value.ordered
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = local.address[each.key]

    oidc_token {
      service_account_email = google_service_account.part["pubsub-push"].email
      audience              = local.address[each.key]
    }
  }

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = each.value.attempts
  }

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub takes a message off a subscription that it has given to the dead letters.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = google_pubsub_subscription.function

  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_member
}

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = local.deliveries

  name     = each.key
  location = var.region
  role     = "roles/run.invoker"
  member   = local.member["pubsub-push"]

  depends_on = [module.function]
}
