output "role_arn" {
  description = "For the annotation eks.amazonaws.com/role-arn of the service accounts."
  value       = aws_iam_role.worker.arn
}

output "kms_key_arn" {
  description = "For the setting s3.sse_kms_key_id."
  value       = aws_kms_key.corpus.arn
}

output "input" {
  description = "For --input of clean-corpus deploy."
  value       = "s3://${var.input_bucket}/${var.input_prefix}"
}

output "output" {
  description = "For --output of clean-corpus deploy."
  value       = "s3://${aws_s3_bucket.corpus.id}/${var.output_prefix}"
}
