// Package page is the page for people with browsers, on the listener of WebDAV: the same tree, the
// same permissions, the same logins.
//
// A folder is at its own URL. Everything else is below Prefix, a name that no file can have: the login,
// what is known of a file, downloads, uploads, links that are shared, style sheet and script. All works without
// script, except to drop files, to see progress and to go on with an upload.
//
// # What it promises
//
//   - It decides nothing about access: every call goes to the FS of the user.
//   - A cookie opens nothing but the page: WebDAV never looks at it, and every change needs a token of the session
//     beside it, from a page of the same origin.
//   - What is in files never acts as this server's page. It is shown escaped, as a picture of a type that cannot,
//     or offered for download.
//   - An upload is published when all of it is there, and can be gone on with after the connection, the browser or
//     the gateway broke off.
//   - A verdict is shown only if the bytes are those that were judged.
//   - Memory for each request is bounded: the constants named max* say by what.
//
// # What it does not do
//
// It keeps no state of its own but caches: sessions and shares are in the state, uploads in the storage. So nodes
// are equal, and a browser may meet any of them.
package page
