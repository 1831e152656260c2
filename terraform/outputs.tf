output "address" {
  description = "What the A record of `host` must say."
  value       = google_compute_global_address.public.address
}

output "image" {
  description = "Image that this environment was given last: what a roll back goes to."
  value       = var.image
}

output "source_archive" {
  description = "Source that the functions were built from last."
  value       = var.source_archive
}

output "state_process_names" {
  description = "State processes, for a rolling deploy."
  value       = sort(var.state_process_names)
}

output "platform_role" {
  description = "The platform's role in Postgres, which needs CREATEDB and CREATEROLE."
  value       = google_sql_user.platform.name
}
