package integrity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// MaxKeyringBytes bounds one key file.
const MaxKeyringBytes = 8 << 20

var (
	// ErrKeyring reports key material that cannot be used as configured.
	ErrKeyring = errors.New("key file not usable")
	// ErrFingerprint reports a fingerprint that is not 40 or 64 hex digits.
	ErrFingerprint = errors.New("malformed fingerprint")
)

// OpenPGP packet tags (RFC 9580, section 5).
const (
	tagSignature    = 2
	tagSecretKey    = 5
	tagPublicKey    = 6
	tagSecretSubkey = 7
	tagMarker       = 10
)

// Keyring holds the OpenPGP keys that the configuration trusts. It does not
// change once built and is safe for concurrent use.
type Keyring struct {
	certs       []certificate
	revocations []byte // key revocation signatures, wherever they stood
}

// certificate is one OpenPGP key with its subkeys, kept as packets: the library
// remembers what it evaluated inside a parsed key, so a parsed one can neither
// be shared between goroutines nor asked again at another time.
type certificate struct {
	fingerprint string
	primary     []byte
	rest        []byte
	keys        []keyName
}

// keyName identifies the primary key or a subkey.
type keyName struct {
	id          uint64
	fingerprint []byte
}

// ReadKeyring reads public keys, binary or armored, one or several blocks. Text
// around armored blocks is ignored. A key revocation certificate counts
// wherever it stands, also alone in a file that is joined with JoinKeyrings.
// Keys of a kind that the OpenPGP library cannot read are left out. Errors are
// ErrKeyring: not OpenPGP, more than MaxKeyringBytes, a secret key, or one key
// twice with different content.
func ReadKeyring(r io.Reader) (*Keyring, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxKeyringBytes+1))
	if err != nil {
		return nil, fmt.Errorf("integrity: read keyring: %w", err)
	}
	if len(data) > MaxKeyringBytes {
		return nil, fmt.Errorf("integrity: read keyring: %w: more than %d bytes", ErrKeyring, MaxKeyringBytes)
	}
	k, err := parseKeyring(data)
	if err != nil {
		return nil, fmt.Errorf("integrity: read keyring: %w: %w", ErrKeyring, err)
	}
	return k, nil
}

func parseKeyring(data []byte) (*Keyring, error) {
	if len(data) > 0 && data[0]&0x80 == 0 {
		var err error
		if data, err = dearmor(data, openpgp.PublicKeyType, false); err != nil {
			return nil, err
		}
	}
	packets, err := readPackets(data)
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	var group []*packet.OpaquePacket
	for _, p := range packets {
		switch {
		case p.Tag == tagSecretKey || p.Tag == tagSecretSubkey:
			return nil, errors.New("it holds a secret key; export the public key only")
		case isKeyRevocation(p):
			k.revocations = appendPacket(k.revocations, p)
			continue
		case p.Tag == tagPublicKey:
			if err := k.addGroup(group); err != nil {
				return nil, err
			}
			group = nil
		}
		group = append(group, p)
	}
	if err := k.addGroup(group); err != nil {
		return nil, err
	}
	if len(k.certs) == 0 && len(k.revocations) == 0 {
		return nil, errors.New("it holds no OpenPGP public key that can be read")
	}
	return k, nil
}

// isKeyRevocation recognises a key revocation signature (type 0x20). The
// library heeds one only directly behind the primary key, while operators
// append revocation certificates at the end.
func isKeyRevocation(p *packet.OpaquePacket) bool {
	return p.Tag == tagSignature && len(p.Contents) > 1 && p.Contents[0] >= 4 &&
		packet.SignatureType(p.Contents[1]) == packet.SigTypeKeyRevocation
}

func (k *Keyring) addGroup(group []*packet.OpaquePacket) error {
	if len(group) == 0 || group[0].Tag != tagPublicKey {
		return nil
	}
	c := certificate{primary: appendPacket(nil, group[0])}
	for _, p := range group[1:] {
		c.rest = appendPacket(c.rest, p)
	}
	if !c.identify() {
		return nil
	}
	return k.add(c)
}

// identify fills in the names. It is false for a kind of key that the library
// cannot read; a pin on such a key will fail.
func (c *certificate) identify() bool {
	entity, err := c.entity(nil)
	if err != nil {
		return false
	}
	c.fingerprint = fingerprintText(entity.PrimaryKey.Fingerprint)
	c.keys = []keyName{{entity.PrimaryKey.KeyId, entity.PrimaryKey.Fingerprint}}
	for _, sub := range entity.Subkeys {
		c.keys = append(c.keys, keyName{sub.PublicKey.KeyId, sub.PublicKey.Fingerprint})
	}
	return true
}

func (k *Keyring) add(c certificate) error {
	for _, old := range k.certs {
		if old.fingerprint != c.fingerprint {
			continue
		}
		if bytes.Equal(old.primary, c.primary) && bytes.Equal(old.rest, c.rest) {
			return nil
		}
		return fmt.Errorf("key %s is there twice with different content; keep the newer copy", c.fingerprint)
	}
	k.certs = append(k.certs, c)
	return nil
}

// entity parses the certificate afresh, with the revocations of its keyring.
func (c certificate) entity(revocations []byte) (*openpgp.Entity, error) {
	entities, err := openpgp.ReadKeyRing(io.MultiReader(
		bytes.NewReader(c.primary), bytes.NewReader(revocations), bytes.NewReader(c.rest)))
	if err != nil {
		return nil, err
	}
	if len(entities) != 1 {
		return nil, fmt.Errorf("%d keys where one was expected", len(entities))
	}
	return entities[0], nil
}

// JoinKeyrings makes one keyring of several. The error is ErrKeyring, for one
// key twice with different content: the copy that lacks a revocation must not win.
func JoinKeyrings(rings ...*Keyring) (*Keyring, error) {
	all := &Keyring{}
	for _, ring := range rings {
		all.revocations = append(all.revocations, ring.revocations...)
		for _, c := range ring.certs {
			if err := all.add(c); err != nil {
				return nil, fmt.Errorf("integrity: join keyrings: %w: %w", ErrKeyring, err)
			}
		}
	}
	return all, nil
}

// Pin returns a keyring of only the keys with these primary fingerprints, as
// ParseFingerprint reads them. The error is ErrFingerprint, or ErrUnknownKey
// for one that is not there; a subkey's fingerprint does not count.
func (k *Keyring) Pin(fingerprints ...string) (*Keyring, error) {
	pinned := &Keyring{revocations: k.revocations}
	for _, text := range fingerprints {
		fp, err := ParseFingerprint(text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(k.certs, func(c certificate) bool { return c.fingerprint == fp })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s is not among the keys%s", ErrUnknownKey, fp, k.subkeyHint(fp))
		}
		if err := pinned.add(k.certs[i]); err != nil {
			return nil, err
		}
	}
	return pinned, nil
}

func (k *Keyring) subkeyHint(fp string) string {
	for _, c := range k.certs {
		for _, name := range c.keys {
			if fingerprintText(name.fingerprint) == fp {
				return "; it is a subkey, write its primary key's fingerprint " + c.fingerprint
			}
		}
	}
	return ""
}

// Fingerprints lists the primary fingerprints, in upper case, sorted.
func (k *Keyring) Fingerprints() []string {
	list := make([]string, 0, len(k.certs))
	for _, c := range k.certs {
		list = append(list, c.fingerprint)
	}
	slices.Sort(list)
	return list
}

// ParseFingerprint normalises a full OpenPGP fingerprint to upper case: 40 hex
// digits (version 4 keys) or 64 (version 6), blanks allowed as gpg prints them.
// Shorter key ids are refused, since anyone can make a key with a given one.
func ParseFingerprint(s string) (string, error) {
	digits := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	_, err := hex.DecodeString(digits)
	if err != nil || len(digits) != 40 && len(digits) != 64 {
		return "", fmt.Errorf("%w %.80q: write all 40 hex digits (64 for version 6 keys)", ErrFingerprint, s)
	}
	return digits, nil
}

func fingerprintText(fp []byte) string { return strings.ToUpper(hex.EncodeToString(fp)) }

func appendPacket(to []byte, p *packet.OpaquePacket) []byte {
	buf := bytes.NewBuffer(to)
	if err := p.Serialize(buf); err != nil {
		panic("write to memory failed: " + err.Error())
	}
	return buf.Bytes()
}

// readPackets splits binary OpenPGP data into packets without interpreting them.
func readPackets(data []byte) ([]*packet.OpaquePacket, error) {
	reader := packet.NewOpaqueReader(bytes.NewReader(data))
	var packets []*packet.OpaquePacket
	for {
		p, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("packet %d: %w", len(packets)+1, err)
		}
		if p.Tag != tagMarker {
			packets = append(packets, p)
		}
	}
}

// dearmor decodes every armored block of one kind and joins their bytes. When
// strict, anything but white space around the blocks is an error; otherwise it
// is skipped. Blocks of another kind are errors either way.
func dearmor(data []byte, kind string, strict bool) ([]byte, error) {
	begin, end := []byte("-----BEGIN "+kind+"-----"), []byte("-----END "+kind+"-----")
	var out []byte
	start, blocks := -1, 0
	for pos := 0; pos < len(data); {
		next := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			next = pos + i + 1
		}
		line := bytes.TrimRight(data[pos:next], " \t\r\n")
		switch {
		case start < 0 && bytes.Equal(line, begin):
			start = pos
		case start >= 0 && bytes.Equal(line, end):
			body, err := decodeBlock(data[start:next])
			if err != nil {
				return nil, err
			}
			out, start = append(out, body...), -1
			blocks++
		case bytes.HasPrefix(line, []byte("-----")):
			return nil, fmt.Errorf("unexpected armor line %.60q, want %s", line, kind)
		case start < 0 && strict && len(line) > 0:
			return nil, fmt.Errorf("text %.40q outside the armored block", line)
		}
		pos = next
	}
	if start >= 0 || blocks == 0 {
		return nil, fmt.Errorf("no complete block %q", begin)
	}
	return out, nil
}

func decodeBlock(text []byte) ([]byte, error) {
	block, err := armor.Decode(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("armor: %w", err)
	}
	body, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, fmt.Errorf("armor: %w", err)
	}
	return body, nil
}
