variable "input_bucket" {
  description = "Existing bucket of the recordings. Workers only read it."
  type        = string
}

variable "input_prefix" {
  description = "Prefix of the recordings in it, without a slash at either end."
  type        = string
  default     = "recordings"
  validation {
    condition     = var.input_prefix != "" && trim(var.input_prefix, "/") == var.input_prefix
    error_message = "input_prefix: give a folder, with no slash at either end."
  }
}

variable "input_kms_key_arn" {
  description = "KMS key that encrypts the recordings; null if none does."
  type        = string
  default     = null
}

variable "output_bucket" {
  description = "Bucket to create for corpora."
  type        = string
}

variable "output_prefix" {
  description = "Prefix of the corpus in it, without a slash at either end."
  type        = string
  default     = "corpus"
  validation {
    condition     = var.output_prefix != "" && trim(var.output_prefix, "/") == var.output_prefix
    error_message = "output_prefix: give a folder, with no slash at either end."
  }
}

variable "versioning" {
  description = <<-EOT
    Whether S3 keeps deleted and overwritten objects for `noncurrent_days`. Returning to an earlier dataset version does
    not need it, since each version has its own objects; it protects from a mistaken `clean-corpus gc` or deletion.
  EOT
  type        = bool
  default     = true
}

variable "noncurrent_days" {
  description = "How long S3 keeps deleted and overwritten objects, days."
  type        = number
  default     = 14
}

variable "work_days" {
  description = <<-EOT
    Age at which S3 deletes cached results under `work/`, days; null: never. The next run computes deleted results anew,
    so leave null while a deployment runs every night.
  EOT
  type        = number
  default     = null
}

variable "log_bucket" {
  description = "Bucket for access logs of the corpus bucket; null: keep none."
  type        = string
  default     = null
}

variable "role_name" {
  description = "Role to create for the workers."
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
  description = "Tags of every resource."
  type        = map(string)
  default     = { project = "clean-corpus" }
}
