#!/bin/sh
# bucket.sh: makes the bucket, once the object store answers. One that is there is no mistake.
set -eu
nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 # SHA-256 of the request's empty body
status=$(curl --silent --show-error --retry 60 --retry-delay 1 --retry-connrefused --max-time 90 \
    --output /dev/null --write-out '%{http_code}' --cacert /secrets/tls.crt \
    --header "x-amz-content-sha256: $nothing" --aws-sigv4 aws:amz:us-east-1:s3 --request PUT --config - https://s3:7070/files <<END
user = "$(cat /secrets/s3-access-key):$(cat /secrets/s3-secret-key)"
END
)
case $status in
200 | 409) echo "the bucket is there" ;;
*)
    echo "the bucket was not made: the object store answers $status" >&2
    exit 1
    ;;
esac
