variable "input_bucket" {
  description = "Bucket that recordings land in. It is there already, and only read."
  type        = string
}

variable "input_prefix" {
  description = "Where in it recordings lie, with no slash at either end."
  type        = string
  default     = "recordings"
  validation {
    condition     = var.input_prefix != "" && trim(var.input_prefix, "/") == var.input_prefix
    error_message = "input_prefix: give a folder, with no slash at either end."
  }
}

variable "input_kms_key_arn" {
  description = "The key that recordings are encrypted with, if they are encrypted with one of KMS."
  type        = string
  default     = null
}

variable "output_bucket" {
  description = "Bucket to make, for corpora."
  type        = string
}

variable "output_prefix" {
  description = "Where in it the corpus lies, with no slash at either end."
  type        = string
  default     = "corpus"
  validation {
    condition     = var.output_prefix != "" && trim(var.output_prefix, "/") == var.output_prefix
    error_message = "output_prefix: give a folder, with no slash at either end."
  }
}

variable "versioning" {
  description = <<-EOT
    Whether S3 keeps what was deleted or overwritten for `noncurrent_days`. Going back to an earlier dataset version does
    not need it, since every one has objects of its own; it is a net below `clean-corpus gc` and below a wrong command.
  EOT
  type        = bool
  default     = true
}

variable "noncurrent_days" {
  description = "How long S3 keeps what was deleted or overwritten, days."
  type        = number
  default     = 14
}

variable "work_days" {
  description = <<-EOT
    Age at which results under `work/` are thrown away, days; null: never. They are what the next run does not do again:
    a recording older than this is cleaned anew by the next run, so leave null while a deployment runs every night.
  EOT
  type        = number
  default     = null
}

variable "log_bucket" {
  description = "Bucket for access logs of the corpus bucket; null: none are kept."
  type        = string
  default     = null
}

variable "role_name" {
  description = "Role to make for the workers."
  type        = string
  default     = "clean-corpus"
}

variable "oidc_provider_arn" {
  description = "Identity provider of the EKS cluster whose service accounts may take the role."
  type        = string
}

variable "service_accounts" {
  description = "NAMESPACE:NAME of the service accounts that may take the role."
  type        = list(string)
  default     = ["clean-corpus:worker", "clean-corpus:ray-head"]
}

variable "tags" {
  description = "Put on everything that is made."
  type        = map(string)
  default     = { project = "clean-corpus" }
}
