#!/bin/sh
# secrets.sh DIR DB S3: passwords, keys and certificates of a new installation, in one folder for each
# service that reads them: DIR/gateway, DIR/db, DIR/s3, DIR/ftp. DB and S3 are the host names of the
# database and the object store. What is there already stays.
set -eu
umask 077
dir=$1 db=$2 s3=$3
[ ! -e "$dir/gateway/complete" ] || exit 0
mkdir -p "$dir/gateway" "$dir/db" "$dir/s3" "$dir/ftp"

# password READER FILE: a new one, for the gateway and the reader.
password() {
    openssl rand -hex 24 >"$dir/gateway/$2"
    cp "$dir/gateway/$2" "$dir/$1/$2"
}

# certificate READER HOST: one for ten years, which the gateway trusts alone.
certificate() {
    case $2 in
    *[!0-9.]*) name=DNS:$2 ;;
    *) name=IP:$2 ;;
    esac
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=$2" -addext "subjectAltName=$name" \
        -keyout "$dir/$1/tls.key" -out "$dir/$1/tls.crt" 2>/dev/null
    cp "$dir/$1/tls.crt" "$dir/gateway/$1.crt"
}

password db db-password
password s3 s3-access-key
password s3 s3-secret-key
password ftp ftp-password
certificate db "$db"
certificate s3 "$s3"
touch "$dir/gateway/complete"

# The users that read them. The object store and the FTP server begin as root.
if [ "$(id -u)" = 0 ]; then
    chown -R 65532:65532 "$dir/gateway" "$dir/s3"
    chown -R 999:999 "$dir/db"
fi
