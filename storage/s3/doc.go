// Package s3 is for keeping files in an S3-compatible object store, with a
// multipart upload as staging and its completion as the publish.
//
// It is empty so far: the gateway stores on local disks (storage/disk).
package s3
