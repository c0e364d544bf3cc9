// Package sftpsrv is the SSH front end: an SFTP version 3 server over storage.FS, and beside it the old
// protocol of scp and a few commands.
//
// SSH is golang.org/x/crypto/ssh; the SFTP loop is this package's own
// (draft-ietf-secsh-filexfer-02 and the PROTOCOL file of OpenSSH for the
// extensions). What a user sees is the storage.FS that [Config.Open] returns for
// them; every verb goes through it, and nothing here decides about access. Who logs in
// is decided by [Config.Auth]: by password, public key or certificate, or a key and a password.
//
// # What it promises
//
//   - A file that is written is staged: nobody else sees a byte of it before
//     SSH_FXP_CLOSE, and the status of CLOSE says whether it was published. When a
//     WRITE failed, CLOSE fails too and publishes nothing, whatever the client
//     made of the first error.
//   - A connection that breaks publishes nothing. The unbroken beginning of what
//     arrived is suspended for its owner ([Config.KeepPartial]) and continued by
//     reput, "put -a" and their like; see the file partial.go for who sees what.
//     What was sent until ten seconds before the gateway itself was killed is kept the same way.
//   - Requests on one handle are carried out in the order in which they came: a
//     READ or FSTAT sees the WRITEs sent before it. Requests by path are in order
//     among themselves, and see what handles on the same path were sent before.
//     Different handles work in parallel, and one slow file holds up no other.
//   - Everything a client can make the server hold is bounded: see the constants in
//     limits.go and the fields of [Config].
//
// # What a session sees of its own uploads
//
// STAT, LSTAT and SETSTAT by path work on a file that the same session has open
// for writing, because clients look at and date their uploads by name. No other
// session does, OPEN for reading does not, and neither does READDIR. RENAME and
// REMOVE of such a file take effect when it is closed. Its name is taken for
// MKDIR, RENAME and an exclusive OPEN, and its folder is neither renamed nor removed.
//
// # Commands
//
// Of the commands that clients send in place of SFTP, "scp -t" and "scp -f" (which "scp -O" starts), md5sum,
// sha1sum, sha256sum, sha512sum, pwd and cd are understood and carried out by this package
// (command.go, scp.go). A file that scp sends is published when all of it has come.
//
// # What it does not do
//
// Nothing is executed: there is no shell. There is no forwarding, no symbolic or hard link to make, and
// SETSTAT of owner and mode succeeds without doing anything: clients send it as a
// courtesy and give up where it fails. A client that is interrupted but still
// sends CLOSE (sftp does on Ctrl-C) cannot be told from one that was done.
package sftpsrv
