package integrity

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// StillTrusts reports whether the policy would believe a signer for the file at
// this path, as people see it, at now: nil, or an error that names the key and
// wraps ErrUnknownKey (no evidence that the file needs pins it any more),
// ErrRevokedKey, ErrExpiredKey, ErrWeakKey, ErrUnusableKey or ErrKeysNotLoaded.
// It judges keys, not signatures. Of kinds other than OpenPGP it knows only
// whether the key is pinned and not revoked by the policy: the dates of
// certificates and of allowed signers are judged with a signature.
func (p *Policy) StillTrusts(path string, s Signer, now time.Time) error {
	refused := fmt.Errorf("%w %.130s: the policy does not pin it for this file", ErrUnknownKey, s.Fingerprint)
	for _, ref := range p.Wants(path) {
		if !ref.Signed() || ref.spec.signing.config.Kind != s.Kind {
			continue
		}
		if ref.spec.signing.anchors == nil {
			return ErrKeysNotLoaded
		}
		err := stillTrusts(ref.spec.signing.anchors, s, now.UTC())
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnknownKey) {
			refused = fmt.Errorf("key %.130s: %w", s.Fingerprint, err)
		}
	}
	return refused
}

func stillTrusts(a Anchors, s Signer, now time.Time) error {
	switch a := a.(type) {
	case revokingText:
		return stillTrusts(a.revoking, s, now)
	case revoking:
		if _, err := a.check(s, nil); err != nil {
			return err
		}
		return stillTrusts(a.Anchors, s, now)
	case *Keyring:
		return a.stillTrusts(s, now)
	}
	if !slices.Contains(a.Fingerprints(), s.Fingerprint) {
		return ErrUnknownKey
	}
	return nil
}

func (k *Keyring) stillTrusts(s Signer, now time.Time) error {
	for _, c := range k.certs {
		if c.fingerprint != s.Fingerprint {
			continue
		}
		entity, err := c.entity(k.revocations)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnusableKey, err)
		}
		for _, name := range c.keys {
			if fingerprintText(name.fingerprint) == s.Key {
				_, err := signingKey(entity, name, now)
				return err
			}
		}
		return fmt.Errorf("%w: it has no subkey %.130s any more", ErrUnusableKey, s.Key)
	}
	return ErrUnknownKey
}
