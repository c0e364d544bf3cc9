#!/bin/sh
# start.sh: vsftpd, with the account's password from a file.
set -eu
echo "partner:$(cat /secrets/ftp-password)" | chpasswd
mkdir -p /run/vsftpd/empty
exec vsftpd /etc/vsftpd.conf
