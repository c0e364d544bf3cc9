#!/bin/bash
# fetch-debs.sh [NAME...]
#
# Downloads the servers and the clients that the tests run, as Debian 12 packages, and unpacks
# each with the libraries that this machine lacks into a folder of its own: .cache/debs/NAME.
# Nothing is installed and nothing outside .cache is written: the servers conflict with one another
# as packages, so no machine could have them all installed. Root is not needed.
#
# axe-core, which looks for barriers on pages, comes from npm instead: one file of script, held to its digest.
#
# Clients also get a wrapper in .cache/debs/bin that runs the unpacked program with its libraries.
# With everything there already it ends at once. Delete .cache to fetch afresh.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
debs=$repo/.cache/debs
apt=$repo/.cache/apt

# The packages of each folder. Dependencies are found by apt.
packages() {
    case $1 in
    wrappers) echo libnss-wrapper libpam-wrapper ;;
    vsftpd) echo vsftpd ;;
    pure-ftpd) echo pure-ftpd ;;
    pyftpdlib) echo python3-pyftpdlib python3-openssl ;;
    proftpd) echo proftpd-core proftpd-mod-crypto ;;
    inetutils-ftpd) echo inetutils-ftpd openbsd-inetd ;;
    linux-ftpd) echo ftpd-ssl openbsd-inetd ;;
    lftp) echo lftp ;;
    rclone) echo rclone ;;
    curl) echo curl ;;
    wget) echo wget ;;
    openssh) echo openssh-client ;;
    sshd) echo openssh-server openssh-sftp-server ;;
    gnupg) echo gpg gpg-agent gpgconf ;;
    openssl) echo openssl ;;
    minisign) echo minisign ;;
    signify) echo signify-openbsd ;;
    postgresql) echo postgresql-15 ;;
    haproxy) echo haproxy ;;
    nginx) echo nginx-light libnginx-mod-http-dav-ext ;;
    apache2) echo apache2-bin ;;
    paramiko) echo python3-paramiko ;;
    aiosmtpd) echo python3-aiosmtpd ;;
    ssh-audit) echo ssh-audit ;;
    cadaver) echo cadaver ;;
    fuse) echo fuse3 ;;
    litmus) echo litmus ;;
    sshfs) echo sshfs ;;
    zsh) echo zsh ;;
    fish) echo fish ;;
    mandoc) echo mandoc ;;
    systemd) echo systemd ;;
    chromium) echo chromium fonts-dejavu-core ;;
    axe-core) echo axe-core@4.14.1 ;;
    *) die "unknown name $1; known: ${all[*]}" ;;
    esac
}
all=(wrappers vsftpd pure-ftpd pyftpdlib proftpd inetutils-ftpd linux-ftpd lftp rclone curl wget openssh sshd gnupg openssl minisign signify postgresql haproxy nginx apache2 paramiko aiosmtpd ssh-audit cadaver fuse litmus sshfs zsh fish mandoc systemd chromium axe-core)

# The programs of each folder that get a wrapper.
programs() {
    case $1 in
    lftp) echo lftp ;;
    rclone) echo rclone ;;
    curl) echo curl ;;
    wget) echo wget ;;
    openssh) echo sftp scp ssh ssh-keygen ssh-keyscan ;;
    gnupg) echo gpg gpg-agent gpg-connect-agent ;;
    openssl) echo openssl ;;
    minisign) echo minisign ;;
    signify) echo signify-openbsd ;;
    pure-ftpd) echo pure-pw ;;
    pyftpdlib) echo python3 ;;
    paramiko) echo python3-paramiko ;;
    aiosmtpd) echo python3-aiosmtpd ;;
    ssh-audit) echo ssh-audit ;;
    cadaver) echo cadaver ;;
    fuse) echo fusermount fusermount3 ;;
    litmus) echo litmus ;;
    sshfs) echo sshfs ;;
    zsh) echo zsh ;;
    fish) echo fish ;;
    mandoc) echo mandoc ;;
    systemd) echo systemd-analyze ;;
    chromium) echo chromium ;;
    esac
}

die() {
    echo "fetch-debs: $*" >&2
    exit 1
}

# stamp NAME: what .done of a finished folder holds; a changed list of packages or programs fetches anew.
stamp() { echo "$(packages "$1") / $(programs "$1")"; }

is_done() { [ -f "$debs/$1/.done" ] && [ "$(<"$debs/$1/.done")" = "$(stamp "$1")" ]; }

# A private apt: the machine's sources and proxies, without its hooks, and with lists, cache and
# log files of our own, so that no root is needed and nothing of the machine changes.
prepare_apt() {
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/log" "$apt/archives"
    apt-config dump |
        grep -Ev '^(DPkg|APT::Update)::(Pre|Post)-(Invoke|Install-Pkgs)|^Dir::(State|Cache|Log)|^(Dir|APT|DPkg|Dir::Etc) "";' \
            >"$apt/apt.conf"
    cat >>"$apt/apt.conf" <<END
Dir::State "$apt/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$apt/cache";
Dir::Log "$apt/log";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Debug::NoLocking "true";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
APT::Install-Recommends "false";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
END
    export APT_CONFIG=$apt/apt.conf
}

update_lists() {
    local try
    for try in 1 2 3; do
        # A third-party source that does not answer is none of our business; the candidate is.
        apt-get -q update >"$apt/update.log" 2>&1 || true
        [[ $(apt-cache policy vsftpd 2>/dev/null) == *"Candidate: "[0-9]* ]] && return 0
        [ "$try" = 3 ] || sleep $((try * 2))
    done
    tail -n 5 "$apt/update.log" >&2
    die "cannot read Debian's package lists: is this machine online, and are Debian's main sources in /etc/apt? (whole log: $apt/update.log)"
}

# closure PACKAGE...: name=version of the packages and of what they need that is not installed here.
closure() {
    apt-get -s --reinstall install "$@" 2>"$apt/solve.log" |
        sed -nE 's/^Inst ([^ ]+) (\[[^]]*\] )?\(([^ ]+) .*/\1=\3/p'
}

# fetch_axe unpacks the one file that the tests use.
fetch_axe() {
    local new=$debs/.new.axe-core
    command -v npm >/dev/null || die "axe-core: needs npm"
    rm -rf "$new"
    mkdir -p "$new"
    (cd "$new" && npm pack --silent --cache "$new/.npm" "$(packages axe-core)" >/dev/null) ||
        die "axe-core: npm cannot get it; is this machine online?"
    tar -xzf "$new"/axe-core-*.tgz -C "$new" --strip-components=1 package/axe.min.js package/LICENSE
    echo "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c  $new/axe.min.js" | sha256sum --check --quiet >&2 ||
        die "axe-core: it is not the file that was expected"
    rm -rf "$new/.npm" "$new"/axe-core-*.tgz "$debs/axe-core"
    stamp axe-core >"$new/.done"
    mv "$new" "$debs/axe-core"
    echo "fetch-debs: axe-core: 1 file" >&2
}

fetch() {
    local name=$1 wanted list dir=$debs/$1 new=$debs/.new.$1 deb try
    [ "$name" != axe-core ] || {
        fetch_axe
        return
    }
    wanted=$(packages "$name")
    # shellcheck disable=SC2086
    list=$(closure $wanted) && [ -n "$list" ] || {
        cat "$apt/solve.log" >&2
        die "$name: apt finds no way to get: $wanted"
    }
    rm -rf "$new" "$apt/archives"
    mkdir -p "$new" "$apt/archives"
    for try in 1 2 3; do
        # shellcheck disable=SC2086
        (cd "$apt/archives" && apt-get -qq download $list) >"$apt/download.log" 2>&1 && break
        [ "$try" = 3 ] && {
            tail -n 5 "$apt/download.log" >&2
            die "$name: download failed three times; is this machine online?"
        }
        sleep $((try * 2))
    done
    for deb in "$apt"/archives/*.deb; do dpkg -x "$deb" "$new"; done
    stamp "$name" >"$new/.done"
    rm -rf "$dir" "$apt/archives"
    mv "$new" "$dir"
    wrap "$name"
    echo "fetch-debs: $name: $(echo "$list" | wc -l) packages" >&2
}

# wrap NAME: one wrapper for each program; they find themselves, so the repository can be moved.
wrap() {
    local p
    mkdir -p "$debs/bin"
    for p in $(programs "$1"); do
        {
            cat <<'END'
#!/bin/sh
bin=$(dirname "$(readlink -f "$0")")
END
            echo "root=\$bin/../$1"
            cat <<'END'
libs=
for d in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu "$root"/usr/lib/lftp/* "$root"/usr/lib/*-linux-gnu/systemd "$root"/usr/lib/*-linux-gnu/pulseaudio; do
    [ ! -d "$d" ] || libs=$libs${libs:+:}$d
done
[ -z "$libs" ] || { LD_LIBRARY_PATH=$libs; export LD_LIBRARY_PATH; }
PATH=$bin:$PATH; export PATH
END
            invoke "$p"
        } >"$debs/bin/.$p.new"
        chmod 755 "$debs/bin/.$p.new"
        mv "$debs/bin/.$p.new" "$debs/bin/$p"
    done
}

# invoke PROGRAM: the last lines of its wrapper; here go the paths compiled into some programs.
# shellcheck disable=SC2016
invoke() {
    case $1 in
    sftp | scp) echo "exec \"\$root/usr/bin/$1\" -S \"\$bin/ssh\" \"\$@\"" ;;
    gpg) echo 'exec "$root/usr/bin/gpg" --agent-program "$bin/gpg-agent" "$@"' ;;
    lftp)
        echo 'for d in "$root"/usr/lib/lftp/*; do LFTP_MODULE_PATH=$d; export LFTP_MODULE_PATH; done'
        echo 'exec "$root/usr/bin/lftp" "$@"'
        ;;
    python3 | python3-paramiko | python3-aiosmtpd)
        echo 'PYTHONPATH=$root/usr/lib/python3/dist-packages; PYTHONDONTWRITEBYTECODE=1; export PYTHONPATH PYTHONDONTWRITEBYTECODE'
        echo 'p=$(echo "$root"/usr/bin/python3.[0-9]*)'
        echo '[ ! -x "$p" ] || { PYTHONHOME=$root/usr; export PYTHONHOME; exec "$p" "$@"; }'
        echo 'exec /usr/bin/python3 "$@"'
        ;;
    ssh-audit) invoke python3 | sed 's/"\$@"/-m ssh_audit.ssh_audit "$@"/' ;;
    fusermount | fusermount3) echo 'exec "$root/bin/fusermount3" "$@"' ;;
    # Not Debian's own script, which reads /etc/chromium.d.
    chromium) echo 'exec "$root/usr/lib/chromium/chromium" "$@"' ;;
    signify-openbsd) echo 'exec "$root/bin/signify-openbsd" "$@"' ;;
    zsh) echo 'exec "$root/bin/zsh" "$@"' ;;
    fish) echo 'exec "$root/usr/bin/fish" -C "set -g fish_function_path $root/usr/share/fish/functions" "$@"' ;;
    litmus)
        echo 'HTDOCS=$root/usr/share/litmus/htdocs; TESTROOT=$root/usr/libexec/litmus; export HTDOCS TESTROOT'
        echo 'exec "$root/usr/bin/litmus" "$@"'
        ;;
    *) echo "exec \"\$root/usr/bin/$1\" \"\$@\"" ;;
    esac
}

missing() {
    local n
    for n; do is_done "$n" || echo "$n"; done
}

[ $# -gt 0 ] || set -- "${all[@]}"
for n; do packages "$n" >/dev/null; done
[ -n "$(missing "$@")" ] || exit 0

# shellcheck disable=SC1091
os=$(. /etc/os-release 2>/dev/null && echo "${ID:-}${VERSION_ID:-}" || true)
[ "$os" = debian12 ] || die "the tests' servers and clients are Debian 12 packages; this is ${os:-no Debian}"
for p in apt-get apt-cache apt-config dpkg flock; do
    command -v "$p" >/dev/null || die "needs $p"
done

mkdir -p "$debs"
exec 9>"$repo/.cache/debs.lock"
flock 9
todo=$(missing "$@")
[ -n "$todo" ] || exit 0
prepare_apt
update_lists
for n in $todo; do fetch "$n"; done
rm -rf "$apt"
