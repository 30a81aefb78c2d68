# Rights of a worker: it reads recordings, reads and writes the corpus, and uses their keys through S3.
#
# Why IfExists at s3:prefix: S3 answers a request for a missing object by 404 only to those who may list the bucket, and
# such a request has no prefix. Without IfExists the answer would be 403, which a run takes for a missing permission.

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  input_arn = "arn:${data.aws_partition.here.partition}:s3:::${var.input_bucket}"
  issuer    = regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "ListRecordings"
    actions   = ["s3:ListBucket"]
    resources = [local.input_arn]
    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = [var.input_prefix, "${var.input_prefix}/*"]
    }
  }

  statement {
    sid       = "ReadRecordings"
    actions   = ["s3:GetObject"]
    resources = ["${local.input_arn}/${var.input_prefix}/*"]
  }

  statement {
    sid       = "ListCorpus"
    actions   = ["s3:GetBucketVersioning", "s3:ListBucket"]
    resources = [aws_s3_bucket.corpus.arn]
    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = [var.output_prefix, "${var.output_prefix}/*"]
    }
  }

  # `clean-corpus gc` deletes, and so does a run that replaces objects
  statement {
    sid = "ReadAndWriteCorpus"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = ["${aws_s3_bucket.corpus.arn}/${var.output_prefix}/*"]
  }

  # S3 reads a multipart upload to an encrypted bucket back, which takes both rights
  statement {
    sid       = "UseCorpusKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.corpus.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.here.name}.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = var.input_kms_key_arn == null ? [] : [var.input_kms_key_arn]
    content {
      sid       = "UseRecordingsKey"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

# Only the named service accounts of Kubernetes may take the role.
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = [for account in var.service_accounts : "system:serviceaccount:${account}"]
    }
  }
}

resource "aws_iam_policy" "worker" {
  name   = var.role_name
  policy = data.aws_iam_policy_document.worker.json
  tags   = var.tags
}

resource "aws_iam_role" "worker" {
  name                 = var.role_name
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 43200
  tags                 = var.tags
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = aws_iam_policy.worker.arn
}
