// Package webdav is the HTTPS and WebDAV front end (RFC 9110, RFC 4918 class 1
// and 2) over a storage.FS per user.
//
// # The promise
//
//   - A file is replaced whole or not at all. A request body that ends early
//     (Content-Length not met, chunked coding cut, HTTP/2 stream reset) is never
//     published, and neither is one that is not what its digests say (RFC 9530).
//   - COPY and MOVE never destroy what they read from, and what they overwrite
//     stays until its replacement is complete.
//   - A lock holds for every method that would change what it covers. A token
//     counts only for the user who made the lock, and an If header is judged by
//     the state of the resource it names.
//   - A listing that could not be read to its end breaks the connection; it never
//     looks complete.
//   - Memory per request is bounded, whatever the client sends and however large
//     the directory is. The bounds are the constants named max* and the fields of
//     [Config].
//
// # What it does not do
//
// It decides nothing about access: every call goes to the FS of the user, which
// does. Locks and dead properties are kept by name, so a name that reaches a file
// through a symbolic link is another one; where Config has no store for them, locks
// live in the memory of the process and properties are refused with 403. That they
// follow what other front ends do is the business of the FS: see [storage.Guard].
// A folder is not copied by way of a link. There is no creationdate, since no
// backend knows it. An upload that broke off is not kept: PUT with Content-Range or
// Range, and PATCH, are refused.
package webdav
