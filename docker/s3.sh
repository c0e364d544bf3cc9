#!/bin/sh
# s3.sh: the object store, with its keys from files.
set -eu
ROOT_ACCESS_KEY=$(cat /secrets/s3-access-key)
ROOT_SECRET_KEY=$(cat /secrets/s3-secret-key)
export ROOT_ACCESS_KEY ROOT_SECRET_KEY
exec versitygw -q --keep-alive --port :7070 --cert /secrets/tls.crt --key /secrets/tls.key posix /store
