package state

import (
	"context"
	"fmt"
)

// Bounds of Properties.
const (
	MaxPropertyName        = 1 << 10  // bytes of Property.Space and Property.Local together
	MaxPropertyValue       = 32 << 10 // bytes of Property.Value
	MaxPropertiesOfKey     = 200
	MaxPropertyBytesOfKey  = 64 << 10 // of names and values
	MaxPropertyBytesOfUser = 32 << 20 // the same of all that a user set, and PropertyOverhead for each
	PropertyOverhead       = 256
	MaxPropertyKeys        = 256 // that one PropertiesOf asks for
)

// Property is a dead property of a file or folder (RFC 4918 section 4.1): one that the server
// only keeps. Its name is an XML namespace, which may be "", and a local name.
type Property struct {
	Space, Local string
	Value        string // whatever stands for it, in the bytes of who keeps it
}

// Size is what the property counts against the bounds of a key, in bytes.
func (p Property) Size() int { return len(p.Space) + len(p.Local) + len(p.Value) }

// PropertyChange sets a property, or removes it: then Value does not matter, and that there is none
// is no failure.
type PropertyChange struct {
	Property
	Remove bool
}

// Valid fails with ErrInvalid or ErrTooLarge, and says why, where the property cannot be kept.
func (p Property) Valid() error {
	switch {
	case p.Local == "":
		return fmt.Errorf("a property without a name: %w", ErrInvalid)
	case len(p.Space)+len(p.Local) > MaxPropertyName:
		return fmt.Errorf("a property whose name has more than %d bytes: %w", MaxPropertyName, ErrTooLarge)
	case len(p.Value) > MaxPropertyValue:
		return fmt.Errorf("the property %q has more than %d bytes: %w", p.Local, MaxPropertyValue, ErrTooLarge)
	}
	return nil
}

// ValidPropertyChanges fails with ErrInvalid or ErrTooLarge where PatchProperties would.
func ValidPropertyChanges(key string, changes []PropertyChange) error {
	if err := validPropertyKey(key); err != nil {
		return err
	}
	for _, c := range changes {
		if err := c.Valid(); err != nil {
			return err
		}
	}
	return nil
}

func validPropertyKey(key string) error {
	if key == "" || len(key) > MaxLockKey {
		return fmt.Errorf("properties of a name that is empty or too long: %w", ErrInvalid)
	}
	return nil
}

// ValidPropertyMove fails with ErrInvalid where MoveProperties and CopyProperties would.
func ValidPropertyMove(from, to string) error {
	if from == to {
		return fmt.Errorf("properties moved onto themselves: %w", ErrInvalid)
	}
	if err := validPropertyKey(from); err != nil {
		return err
	}
	return validPropertyKey(to)
}

// PropertyUse is what there is of a key and of a user, to be held against the bounds.
type PropertyUse struct {
	Count, Bytes int // of the key
	OfUser       int // bytes of all that the user set, with PropertyOverhead for each
}

// Check fails with ErrLimit beyond a bound.
func (u PropertyUse) Check() error {
	switch {
	case u.Count > MaxPropertiesOfKey:
		return fmt.Errorf("more than %d properties of one file: %w", MaxPropertiesOfKey, ErrLimit)
	case u.Bytes > MaxPropertyBytesOfKey:
		return fmt.Errorf("more than %d bytes of properties of one file: %w", MaxPropertyBytesOfKey, ErrLimit)
	case u.OfUser > MaxPropertyBytesOfUser:
		return fmt.Errorf("more than %d bytes of properties of one user: %w", MaxPropertyBytesOfUser, ErrLimit)
	}
	return nil
}

// Properties keeps dead properties by the key of their file or folder, in the form of Lock.Root.
// A tree is a key and all below it.
type Properties interface {
	// PatchProperties makes the changes in their order, all or none. What is set counts for the
	// user. ErrLimit beyond MaxPropertiesOfKey, MaxPropertyBytesOfKey or MaxPropertyBytesOfUser;
	// what only removes is never beyond them. ErrInvalid, ErrTooLarge.
	PatchProperties(ctx context.Context, key, user string, changes ...PropertyChange) error
	// PropertiesOf returns those of the keys that have any, by key, in the order of their names.
	// ErrLimit for more than MaxPropertyKeys keys.
	PropertiesOf(ctx context.Context, keys ...string) (map[string][]Property, error)
	// HasProperties reports whether anything in the tree has one.
	HasProperties(ctx context.Context, tree string) (bool, error)
	// MoveProperties takes those of a tree to another one, where all that was is removed; the
	// trees must not contain each other. Users keep what counts for them. ErrInvalid.
	MoveProperties(ctx context.Context, from, to string) error
	// CopyProperties gives a key the properties of another one, in place of its own. They count for
	// the user. ErrLimit as PatchProperties; ErrInvalid.
	CopyProperties(ctx context.Context, from, to, user string) error
	// RemoveProperties removes those of a tree.
	RemoveProperties(ctx context.Context, tree string) error
}
