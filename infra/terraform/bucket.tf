# The bucket of corpora: private, encrypted with its own key, reached over TLS only.

resource "aws_kms_key" "corpus" {
  description             = "Corpora in ${var.output_bucket}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags
}

resource "aws_kms_alias" "corpus" {
  name          = "alias/${var.output_bucket}"
  target_key_id = aws_kms_key.corpus.key_id
}

resource "aws_s3_bucket" "corpus" {
  bucket = var.output_bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "corpus" {
  bucket                  = aws_s3_bucket.corpus.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "corpus" {
  bucket = aws_s3_bucket.corpus.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "corpus" {
  bucket = aws_s3_bucket.corpus.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.corpus.arn
    }
  }
}

resource "aws_s3_bucket_versioning" "corpus" {
  bucket = aws_s3_bucket.corpus.id
  versioning_configuration {
    status = var.versioning ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_logging" "corpus" {
  count         = var.log_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.corpus.id
  target_bucket = var.log_bucket
  target_prefix = "${var.output_bucket}/"
}

resource "aws_s3_bucket_lifecycle_configuration" "corpus" {
  bucket     = aws_s3_bucket.corpus.id
  depends_on = [aws_s3_bucket_versioning.corpus]

  # parts of an interrupted upload cost money, and no listing shows them
  rule {
    id     = "uploads-cut-off"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "deleted-or-overwritten"
    status = var.versioning ? "Enabled" : "Disabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = var.work_days == null ? [] : [var.work_days]
    content {
      id     = "work"
      status = "Enabled"
      filter {
        prefix = join("/", [var.output_prefix, "work", ""])
      }
      expiration {
        days = rule.value
      }
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.corpus.arn, "${aws_s3_bucket.corpus.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "corpus" {
  bucket     = aws_s3_bucket.corpus.id
  policy     = data.aws_iam_policy_document.bucket.json
  depends_on = [aws_s3_bucket_public_access_block.corpus]
}
