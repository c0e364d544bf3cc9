// Package integrity decides whether a file that came over an untrusted
// transport may be published, and keeps the proof.
//
// The chain is: digests of the bytes received, evidence fetched beside them (a
// checksum manifest and its signature), a verdict, the operator's policy, and a
// provenance statement.
//
// # Signatures
//
// Anchors are what an operator trusts, read by ReadAnchors, and all kinds refuse
// the same things with the same errors:
//
//   - openpgp: Keyring, detached and clear-signed (RFC 9580).
//   - minisign: MinisignKeys, prehashed and legacy, with the trusted comment.
//   - signify: SignifyKeys, detached and embedded.
//   - sshsig: SSHSigners, an allowed signers file and one namespace.
//   - cms: CMSAnchors, detached CMS with X.509 certificates (RFC 5652).
//
// Only what a signature covers is ever returned or believed. Comments that are
// not signed, times that only the sender states, and certificates and revocation
// lists that come along with a signature are not trusted for anything.
//
// # Verdicts
//
//   - Authentic: a manifest signed by a key that the operator pinned lists
//     exactly this name with a strong digest of exactly these bytes, or such a
//     key signed these bytes and, unless the policy waives that, this name.
//   - Intact: a checksum from the same untrusted server matches. That proves
//     that nothing broke on the way; whoever can change the file can change the
//     checksum with it. A manifest without a signature, or a digest by MD5,
//     SHA-1 or CRC-32, never proves more than this.
//   - Unverified: nothing usable speaks about the file.
//   - Bad: usable evidence contradicts the bytes. Bad is never published,
//     whatever the policy says.
//
// # Promises
//
//   - Only keys named by the configuration are trusted, by full fingerprint or
//     by the operator's own files. The package fetches nothing and runs no other
//     program.
//   - A manifest is read only after its signature has verified. A manifest
//     whose signature fails, or that has one line that does not parse, proves
//     nothing at all.
//   - Names match as whole relative names, byte for byte; never by base name.
//   - Signed evidence that is older than what was accepted before, or than the
//     policy allows, does not count: see Evidence.Freshen. What was accepted is
//     the caller's to keep, in a History.
//   - Everything that grows with input has a limit: see Limits,
//     MaxMetalinkBytes and the limits beside it, MaxReleaseFields,
//     MaxSignatureBytes, MaxSignatures, MaxHeldMessageBytes,
//     MaxClearSignedBytes, MaxKeyringBytes, MaxPolicyBytes, MaxDigesterState,
//     MaxGenerations and MaxPipeBuffers.
//   - Values are safe for concurrent use once built, except Digester and Pipe.
//
// # What it does not do
//
// It cannot see a rollback or a freeze that began before the first look, but by
// max_age, nor one among generations of a kind that states no time (signify, SSH)
// and that it never saw. It does not protect a signed manifest that is
// moved: a manifest names files relative to its own folder, so the same signed
// manifest in another folder vouches for the same names there; a policy that
// names one manifest at the root of the source does not have that weakness. It
// keeps no private key: a ProvenanceSigner is given one. And it does not follow
// certifications between keys.
package integrity
